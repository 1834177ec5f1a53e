import {
  chmodSync,
  copyFileSync,
  cpSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { doctorJson } from '../../lib/doctor/show.ts'
import { settingNames } from '../../lib/settings/settings.ts'
import { kept, runInProcess } from './in-process.ts'
import type { Run } from './verda.ts'
import { buildWorkshop } from './workshop.ts'

const project = path.resolve(import.meta.dirname, '../..')

export type Clinic = Awaited<ReturnType<typeof buildClinic>>

/**
 * A healthy workshop for doctor to examine: a copy of this toolkit, its crontabs, a monitoring service, and
 * commands that replace this machine's crontab, cron, clock and disks with what a test needs.
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
  ownNode(path.join(workshop.verda.root, 'opt/comfyume-backup/bin/node'))

  const clinic = {
    workshop,
    folder,
    toolkit,
    service,
    /** Puts a command first in doctor's PATH, instead of this machine's. */
    command(name: string, script: string, shell = 'bash') {
      writeFileSync(inside('bin', name), `#!/bin/${shell}\n${script}\n`)
      chmodSync(inside('bin', name), 0o755)
    },
    dotEnv(text: string, mode = 0o600) {
      writeFileSync(path.join(toolkit, '.env'), text)
      chmodSync(path.join(toolkit, '.env'), mode)
    },
    /** Installs a crontab; undefined: none. */
    crontab(text: string | undefined) {
      if (text === undefined) clinic.command('crontab', 'echo "no crontab for $(id -un)" >&2; exit 1')
      else {
        writeFileSync(inside('installed-crontab'), text)
        clinic.command('crontab', `cat ${inside('installed-crontab')}`)
      }
    },
    /** The project's own crontab, with this clinic's paths. */
    ownCrontab: (on: 'verda' | 'mello') =>
      readFileSync(path.join(toolkit, 'crontab', on), 'utf8')
        .replaceAll('/opt/comfyume-backup', toolkit)
        .replaceAll(/\/(?:var\/log|home\/dev)(?=\/| )/g, inside('log')),
    /** Free space for paths below `folder` in the clinic; all other paths have 100 GB. */
    freeBytes: (bytes: number, folder = '') =>
      // This runs often, and sh starts in a third of bash's time.
      clinic.command(
        'stat',
        `[ "$1" = -f ] || exec /usr/bin/stat "$@"
        for last; do :; done
        case $last in ${inside(folder)}*) echo "${bytes} 1" ;; *) echo "100000000000 1" ;; esac`,
        'sh',
      ),
    zone: (zone: string, synchronized = 'yes') =>
      clinic.command('timedatectl', `echo Timezone=${zone}; echo NTPSynchronized=${synchronized}`),

    /** Runs doctor on the copy. */
    async doctor(args: string[] = [], env: Record<string, string> = {}): Promise<Run> {
      const [stdout, stderr] = [kept(), kept()]
      const code = await runInProcess('doctor', {
        argv: args,
        env: {
          ...Object.fromEntries(settingNames().map((name) => [name, ''])),
          PATH: `${inside('bin')}:${process.env.PATH}`,
          HOME: folder,
          TMPDIR: workshop.verda.tmp,
          ...clinic.settings,
          ...env,
        },
        stdout: stdout.stream,
        stderr: stderr.stream,
        toolkit,
      })
      return { code, signal: null, stdout: stdout.text(), stderr: stderr.text() }
    },

    /** doctor's findings that are not ok, as `WRONG group name: found`, and its exit code. */
    async complaints(on: 'verda' | 'mello', env: Record<string, string> = {}, args: string[] = []) {
      const { code, stdout, stderr } = await clinic.doctor(['--json', '--on', on, ...args], env)
      if (stderr !== '') throw new Error(stderr)
      const { checks }: ReturnType<typeof doctorJson> = JSON.parse(stdout)
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
  return clinic
}

/**
 * Puts a separate Node at `target`. It is large, so the clinics of a test file share one copy until a test
 * damages it. Never a link to the Node that runs the tests, which a test must not write to.
 */
function ownNode(target: string): void {
  const copy = path.join(tmpdir(), 'node-for-clinics')
  if (statSync(copy, { throwIfNoEntry: false })?.size !== statSync(process.execPath).size) {
    rmSync(copy, { force: true })
    copyFileSync(process.execPath, copy)
  }
  linkSync(copy, target)
}

/** Answers and records every ping except those of unknown checks. */
async function startService() {
  const pings: string[] = []
  const unknown = new Set<string>()
  const server = createHttpServer((request, response) => {
    pings.push(request.url ?? '')
    const [, , check = ''] = (request.url ?? '').split('/')
    response.writeHead(unknown.has(check) ? 404 : 200).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/key-of-the-checks`,
    pings,
    unknown,
    close: () => server.close(),
  }
}

/** A port that refuses connections. */
export async function closedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
