import { spawn } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import path from 'node:path'
import type { DoctorReport } from '../../lib/doctor/show.ts'
import { settingNames } from '../../lib/settings.ts'
import type { Run } from './verda.ts'
import { buildWorkshop } from './workshop.ts'

const project = path.resolve(import.meta.dirname, '../..')

export type Clinic = Awaited<ReturnType<typeof buildClinic>>

/**
 * A workshop with nothing wrong, and doctor to look at it: a copy of this toolkit, with crontabs that lead to it, a monitoring
 * service, and in the place of what belongs to this machine (its crontab, cron, clock and disks) commands that say what a test wants.
 */
export async function buildClinic({ hetzner = false } = {}) {
  const workshop = await buildWorkshop({ hetzner })
  const { folder, settings } = workshop.verda
  const inside = (...names: string[]) => path.join(folder, ...names)
  const toolkit = inside('toolkit')
  const service = await startService()
  for (const name of ['toolkit/bin', 'bin', 'log']) mkdirSync(inside(name), { recursive: true })
  for (const name of ['lib', 'scripts', 'crontab', 'package.json'])
    cpSync(path.join(project, name), path.join(toolkit, name), { recursive: true })
  symlinkSync(path.join(project, 'node_modules'), path.join(toolkit, 'node_modules'))
  symlinkSync(process.execPath, path.join(toolkit, 'bin/node'))
  workshop.verda.write('opt/comfyume-backup/package.json', '{ "name": "comfyume-backup" }\n')
  mkdirSync(path.join(workshop.verda.root, 'opt/comfyume-backup/bin'))
  copyFileSync(process.execPath, path.join(workshop.verda.root, 'opt/comfyume-backup/bin/node'))

  const clinic = {
    workshop,
    folder,
    toolkit,
    service,
    /** Puts a command first in doctor's PATH, in the place of this machine's. */
    command(name: string, script: string) {
      writeFileSync(inside('bin', name), `#!/bin/bash\n${script}\n`)
      chmodSync(inside('bin', name), 0o755)
    },
    dotEnv(text: string, mode = 0o600) {
      writeFileSync(path.join(toolkit, '.env'), text)
      chmodSync(path.join(toolkit, '.env'), mode)
    },
    /** Installs a crontab; undefined: there is none. */
    crontab(text: string | undefined) {
      if (text === undefined) clinic.command('crontab', 'echo "no crontab for $(id -un)" >&2; exit 1')
      else {
        writeFileSync(inside('installed-crontab'), text)
        clinic.command('crontab', `cat ${inside('installed-crontab')}`)
      }
    },
    /** The project's own, with the paths of this clinic. */
    ownCrontab: (on: 'verda' | 'mello') =>
      readFileSync(path.join(toolkit, 'crontab', on), 'utf8')
        .replaceAll('/opt/comfyume-backup', toolkit)
        .replaceAll(/\/(?:var\/log|home\/dev)(?=\/| )/g, inside('log')),
    /** Of what lies below `folder`, a name in the clinic's own; everything else has 100 GB. */
    freeBytes: (bytes: number, folder = '') =>
      clinic.command(
        'stat',
        `[[ $1 == -f ]] || exec /usr/bin/stat "$@"
        case \${@: -1} in ${inside(folder)}*) echo "${bytes} 1" ;; *) echo "100000000000 1" ;; esac`,
      ),
    zone: (zone: string, synchronized = 'yes') =>
      clinic.command('timedatectl', `echo Timezone=${zone}; echo NTPSynchronized=${synchronized}`),

    async doctor(args: string[] = [], env: Record<string, string> = {}): Promise<Run> {
      const child = spawn(
        process.execPath,
        ['--import', 'tsx', path.join(toolkit, 'scripts/doctor.ts'), ...args],
        {
          cwd: toolkit,
          env: {
            ...Object.fromEntries(settingNames().map((name) => [name, ''])),
            PATH: `${inside('bin')}:${process.env.PATH}`,
            HOME: folder,
            TMPDIR: workshop.verda.tmp,
            ...clinic.settings,
            ...env,
          },
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      )
      const run: Run = { code: null, signal: null, stdout: '', stderr: '' }
      child.stdout.on('data', (data) => {
        run.stdout += data
      })
      child.stderr.on('data', (data) => {
        run.stderr += data
      })
      ;[run.code, run.signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
        child.on('close', (...ending) => resolve(ending)),
      )
      return run
    },

    /** What doctor finds that is not ok, as `WRONG group name: found`, and how it ended. */
    async complaints(on: 'verda' | 'mello', env: Record<string, string> = {}, args: string[] = []) {
      const { code, stdout, stderr } = await clinic.doctor(['--json', '--on', on, ...args], env)
      if (stderr !== '') throw new Error(stderr)
      const { checks }: DoctorReport = JSON.parse(stdout)
      const lines = checks
        .filter(({ status }) => status !== 'ok')
        .map(({ group, name, status, found }) => `${status} ${group} ${name}: ${found}`)
      return { code, lines }
    },

    settings: { ...settings, BACKUP_NOW: '', BACKUP_PING_URL: service.url } as Record<string, string>,

    async dispose() {
      service.close()
      await workshop.dispose()
    },
  }

  clinic.crontab(clinic.ownCrontab('mello'))
  clinic.zone('Etc/UTC')
  clinic.freeBytes(100e9)
  clinic.command('pgrep', '')
  clinic.command('systemctl', 'exit 3')
  clinic.command('sqlite3', 'echo 3.40.1')
  return clinic
}

/** Counts what is sent to it: nothing must be. */
async function startService() {
  let bytes = 0
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.on('data', (data) => {
      bytes += data.length
    })
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/key-of-the-checks`,
    seen: () => ({ connections, bytes }),
    close: () => server.close(),
  }
}

/** A port on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
