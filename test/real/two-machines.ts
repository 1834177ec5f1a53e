import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { ItemOutcome, Report } from '../../lib/backup/report.ts'
import { buckets } from '../../lib/inventory.ts'
import { buildVerda, settle } from '../scripts/verda.ts'
import type { RealS3 } from '../servers/real-s3.ts'
import { addUser, type Sshd, startSshd } from '../servers/sshd.ts'

const project = path.resolve(import.meta.dirname, '../..')

/** The result of a script's run. */
export interface Run {
  code: number | null
  /** All output but the report. */
  log: string
  /** The script's report on standard output; a killed script prints none. */
  report: Report
  item(name: string): ItemOutcome
}

/** A run in progress. */
export interface Running {
  child: ChildProcess
  pid: number
  ended: Promise<Run>
  /** Without warning, like a power cut. */
  kill(): Promise<void>
}

export type TwoMachines = Awaited<ReturnType<typeof buildTwoMachines>>

/**
 * Verda and Mello on this machine. Verda's files belong to root; a sudo user with zsh reaches them through a
 * real ssh server. Mello's scripts run as a user without rights, with its own home, keys and ssh
 * configuration.
 */
export async function buildTwoMachines() {
  const login = addUser({ sudo: true })
  const operator = addUser({ sudo: false })
  const sshd = await startSshd([login.name])
  const verda = buildVerda()
  const { uid, gid } = statSync(operator.home)
  const home = (...parts: string[]) => path.join(operator.home, ...parts)
  const own = (file: string) => execFileSync('chown', ['-R', `${uid}:${gid}`, file])

  verda.write('opt/comfyume-backup/package.json', '{ "name": "comfyume-backup" }\n')
  verda.write('opt/comfyume-backup/bin/node', 'a runtime', 0o755)
  layKeys(home('.ssh'), sshd, login.name)
  mkdirSync(home('tmp'))
  own(operator.home)

  const base: Record<string, string> = {
    ...unset(),
    PATH: process.env.PATH ?? '',
    HOME: operator.home,
    USER: operator.name,
    TMPDIR: home('tmp'),
    VERDA_ROOT: verda.root,
    MELLO_ROOT: home('mello'),
    BACKUP_NOW: '2026-11-24T10:00:00Z',
  }

  function start(command: string, args: string[] = [], env: Record<string, string> = {}): Running {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', path.join(project, 'scripts', `${command}.ts`), '--json', ...args],
      { cwd: project, uid, gid, env: { ...base, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
    )
    const ended = new Promise<Run>((resolve) => {
      let [out, log] = ['', '']
      child.stdout.on('data', (data) => {
        out += data
      })
      child.stderr.on('data', (data) => {
        log += data
      })
      child.once('close', (code) => resolve(runOf(code, out, log)))
    })
    const kill = async () => {
      child.kill('SIGKILL')
      await ended
    }
    return { child, pid: child.pid as number, ended, kill }
  }

  return {
    verda,
    sshd,
    /** Mello's copies of Verda: the default of MELLO_BACKUPS. */
    copies: home('backups/verda'),
    home,
    own,
    operator: { name: operator.name, uid, gid, home: operator.home },
    start,
    run: (...args: Parameters<typeof start>): Promise<Run> => start(...args).ended,
    /** Writes a file below Mello's root. */
    writeOnMello(file: string, content: string | Buffer) {
      const target = home('mello', file)
      mkdirSync(path.dirname(target), { recursive: true })
      writeFileSync(target, content)
      // Only new files: a new owner counts as a change to a file.
      execFileSync('find', [home('mello'), '-user', 'root', '-exec', 'chown', `${uid}:${gid}`, '{}', '+'])
    },
    /** Another name for ssh, with its own configuration. */
    addSshHost(name: string, lines: string) {
      const file = home('.ssh/config')
      writeFileSync(file, `Host ${name}\n${lines}\n${readFileSync(file, 'utf8')}`)
    },
    settle,
    async dispose() {
      await sshd.stop()
      verda.dispose()
      for (const user of [operator, login]) user.remove()
      removeLeftOver(uid)
    },
  }
}

/** Settings that make this server `store`, with the key that may not delete. */
export function storeSettings(store: 'R2' | 'HETZNER', { endpoint, withoutDelete }: RealS3, port?: number) {
  const { accessKeyId, secretAccessKey, sessionToken = '' } = withoutDelete
  return {
    [`${store}_ENDPOINT`]: port === undefined ? endpoint : `http://127.0.0.1:${port}`,
    [`${store}_ACCESS_KEY_ID`]: accessKeyId,
    [`${store}_SECRET_ACCESS_KEY`]: secretAccessKey,
    [`${store}_SESSION_TOKEN`]: sessionToken,
  }
}

/** Their names from the specification. */
export const bucketNames = Object.values(buckets).map(({ name }) => name)

/** A project with workshop users on Mello and a private repository for credentials; returns the settings. */
export function layUserFiles(machines: TwoMachines): Record<string, string> {
  const { writeOnMello, home, own } = machines
  const data = 'home/dev/comfyume-v1/data'
  writeOnMello(`${data}/workflows/user001/first.json`, '{}')
  writeOnMello(`${data}/inputs/user001/face.png`, 'pixels')
  writeOnMello(`${data}/user_data/user001/settings.json`, '{"theme":"dark"}')
  writeOnMello(`${data}/outputs/user001/out.png`, 'more pixels')
  writeOnMello('home/dev/comfyume-v1/.env', 'ADMIN_PASSWORD=pa$$word\n')
  writeOnMello('home/dev/comfyume-v1/nginx/.htpasswd', 'user001:$apr1$x\n')
  execFileSync('git', ['init', '--quiet', '--bare', home('credentials.git')])
  own(home('credentials.git'))
  settle()
  return { CREDENTIALS_REPO: home('credentials.git') }
}

/** What `sha256sum -c` and `gzip -t` report of a folder's archives with records, and empty archives. */
export function checkByHand(folder: string): string[] {
  const names = existsSync(folder) ? (readdirSync(folder, { recursive: true }) as string[]) : []
  return names.flatMap((name) => {
    const file = path.join(folder, name)
    if (!lstatSync(file).isFile()) return []
    if (statSync(file).size === 0) return [`${name} is empty`]
    try {
      const cwd = path.dirname(file)
      if (name.endsWith('.sha256'))
        execFileSync('sha256sum', ['-c', '--strict', '--quiet', path.basename(file)], { cwd, stdio: 'pipe' })
      if (name.endsWith('.tar.gz')) execFileSync('gzip', ['-t', file], { stdio: 'pipe' })
      return []
    } catch (error) {
      return [`${name}: ${(error as { stderr: Buffer }).stderr.toString().trim()}`]
    }
  })
}

function runOf(code: number | null, out: string, log: string): Run {
  const report = (): Report => {
    try {
      return JSON.parse(out)
    } catch {
      throw new Error(`no report; exit ${code}, it said: ${out}${log}`)
    }
  }
  return {
    code,
    log,
    get report() {
      return report()
    },
    item(name) {
      const found = report().items.find(({ item }) => item === name)
      if (!found) throw new Error(`the report has no ${name}: ${out}`)
      return found
    },
  }
}

/** Every setting, empty, so neither the environment nor a .env file matters. */
function unset(): Record<string, string> {
  const text = readFileSync(path.join(project, 'lib/settings/settings.ts'), 'utf8')
  const names = [...text.matchAll(/'([A-Z][A-Z0-9]*_[A-Z0-9_]+)'/g)].map(([, name]) => [name as string, ''])
  const keys = ['ENDPOINT', 'ACCESS_KEY_ID', 'SECRET_ACCESS_KEY', 'SESSION_TOKEN']
  const stores = ['R2', 'HETZNER'].flatMap((store) => keys.map((key) => [`${store}_${key}`, '']))
  const own = Object.values(buckets).map(({ setting }) => [setting, ''])
  return Object.fromEntries([...names, ...stores, ...own, ['ENVIRONMENT', '']])
}

/** In the user's own ~/.ssh: ssh takes the home from the system's user list, not from HOME. */
function layKeys(folder: string, sshd: Sshd, user: string): void {
  mkdirSync(folder, { mode: 0o700 })
  for (const name of ['id', 'known_hosts'])
    copyFileSync(path.join(sshd.folder, name), path.join(folder, name))
  chmodSync(path.join(folder, 'id'), 0o600)
  const lines = [`User ${user}`, 'HostName 127.0.0.1', `Port ${sshd.port}`, 'IdentityFile ~/.ssh/id']
  writeFileSync(path.join(folder, 'config'), `Host verda\n  ${lines.join('\n  ')}\n`)
}

/** That user's leftovers outside of its home: the locks' folder, and ssh folders of killed runs. */
function removeLeftOver(uid: number): void {
  for (const folder of ['/run/lock', '/tmp', tmpdir()]) {
    for (const name of existsSync(folder) ? readdirSync(folder) : []) {
      const file = path.join(folder, name)
      if (!name.startsWith('comfyume-')) continue
      if (lstatSync(file, { throwIfNoEntry: false })?.uid === uid) rmSync(file, { recursive: true })
    }
  }
}
