import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Locks, locksOf, takeLocks } from '../../lib/backup/locks.ts'
import { makePlan } from '../../lib/backup/plan.ts'
import { exitCode, type ItemOutcome, type Report } from '../../lib/backup/report.ts'
import { type Request, selectItems } from '../../lib/backup/select.ts'
import { localHost } from '../../lib/hosts/local.ts'
import { openHosts } from '../../lib/hosts/open.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { lockFolder } from '../../lib/stores/directory/probe.ts'
import { openStore } from '../../lib/stores/open.ts'
import type { AppendOnlyStore } from '../../lib/stores/store.ts'
import { carryOut } from './carry-out.ts'
import { kept, runInProcess } from './in-process.ts'

const project = path.resolve(import.meta.dirname, '../..')

/** The result of a script's run. */
export interface Run {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface RunOptions {
  /** Added to this Verda's settings. */
  env?: Record<string, string>
  /** Runs in a separate process in any case: for two runs at once, or start-up. */
  ownProcess?: true
  /** Kills the child as soon as this settles. */
  killAfter?: Promise<unknown>
  /** Called with the child's pid. */
  onStart?(pid: number): void
  /** As this user; only root can. */
  uid?: number
  /** On a terminal, where all output is standard output: types each answer, or does it, once its question appears. */
  answers?: readonly { when: RegExp; type: string | ((terminal: number) => void) }[]
}

export interface InProcess {
  only?: string[]
  quick?: boolean
  now?: string
  acceptShrink?: boolean
  env?: Record<string, string>
  /** Seconds of a source's silence until it is asked whether it hangs. */
  silentSeconds?: number
  /** Replaces the store from the settings. */
  store?: (store: AppendOnlyStore) => AppendOnlyStore
}

export type Verda = ReturnType<typeof buildVerda>

/**
 * A small Verda in a temporary folder: real files of every default item except nginx and ssl, and an empty
 * share. `cron` runs the real script, without this machine's settings; `run` does the same without flags and
 * output. `copyOf`: the folder of another one.
 */
export function buildVerda({
  folder = mkdtempSync(path.join(tmpdir(), 'verda-')),
  copyOf,
}: {
  folder?: string
  copyOf?: string | undefined
} = {}) {
  if (copyOf !== undefined) execFileSync('cp', ['-a', `${copyOf}/.`, folder])
  const root = path.join(folder, 'root')
  const sfs = path.join(folder, 'sfs')
  const cache = path.join(sfs, 'cache')
  const tmp = path.join(folder, 'tmp')
  for (const each of [root, sfs, tmp]) mkdirSync(each, { recursive: true })
  const settings: Record<string, string> = {
    VERDA_ROOT: root,
    SFS_ROOT: sfs,
    SFS_REQUIRE_MOUNT: '0',
    BACKUP_NOW: '2026-11-24T10:00:00Z',
  }

  const verda = {
    folder,
    root,
    sfs,
    cache,
    tmp,
    settings,
    /** Writes a file below the root. */
    write(file: string, content: string | Buffer, mode = 0o644) {
      const target = path.join(root, file)
      mkdirSync(path.dirname(target), { recursive: true })
      writeFileSync(target, content)
      chmodSync(target, mode)
    },
    remove: (file: string) => rmSync(path.join(root, file), { recursive: true }),

    cron: (args: string[] = [], options: RunOptions = {}) => verda.script('backup-cron', args, options),
    restore: (args: string[] = [], options: RunOptions = {}) => verda.script('restore', args, options),

    /** Runs a script with its flags: in this process, unless the options need a separate one. */
    async script(command: string, args: string[], options: RunOptions = {}): Promise<Run> {
      const { env = {}, ...ofProcess } = options
      const own = environment(verda, env)
      if (Object.keys(ofProcess).length > 0 || env.NODE_OPTIONS !== undefined)
        return inOwnProcess(command, args, own, options)
      const [stdout, stderr] = [kept(), kept()]
      const code = await runInProcess(command, {
        argv: args,
        env: own,
        stdout: stdout.stream,
        stderr: stderr.stream,
      })
      return { code, signal: null, stdout: stdout.text(), stderr: stderr.text() }
    },

    /** What the script does between its flags and its exit code. Default: only the item env. */
    async run({
      only = ['env'],
      quick,
      now,
      acceptShrink = false,
      env,
      silentSeconds,
      store,
    }: InProcess = {}) {
      const request: Request = { command: 'backup-cron', only, ...(quick ? { quick } : {}) }
      const used = readSettings({ ...settings, ...(now ? { BACKUP_NOW: now } : {}), ...env }, ['sfs'])
      const plan = makePlan('backup-cron', selectItems(request), used, used.now as Date)
      const locks = await takeLocks(locksOf(plan.jobs, used), 'backup-cron')
      const hosts = openHosts(used, 'backup-cron')
      try {
        const report = await carryOut(plan, {
          settings: used,
          locks,
          host: (name) =>
            silentSeconds ? localHost({ name, root: used.roots[name], silentSeconds }) : hosts.get(name),
          store: (name, bucket) => (store ?? ((same) => same))(openStore(name, bucket, used)),
          acceptShrink,
          emit() {},
          clock: () => used.now as Date,
        })
        return { report, code: exitCode(report), item: itemOf(report, only[0] as string) }
      } finally {
        await locks.release()
        await hosts.close()
      }
    },

    /** A script's environment on this Verda. */
    environment: (env: Record<string, string> = {}) => environment(verda, env),
    /** The names in a cache folder, sorted, with hidden ones but without the locks. */
    names: (inCache = 'config') =>
      existsSync(path.join(cache, inCache))
        ? readdirSync(path.join(cache, inCache))
            .filter((name) => name !== lockFolder)
            .sort()
        : [],
    read: (key: string) => readFileSync(path.join(cache, key)),
    /** Puts a file into the cache that is no backup's. */
    put(key: string, content: string | Buffer) {
      mkdirSync(path.dirname(path.join(cache, key)), { recursive: true })
      writeFileSync(path.join(cache, key), content)
    },
    /** Writes an archive and its record, as a run at `time` (ISO) would. */
    putBackup(
      item: string,
      stamp: string,
      time: string,
      content: string | Buffer = `content of ${item} ${stamp}`,
    ) {
      const name = `${item}-${stamp}.tar.gz`
      verda.put(`config/${name}`, content)
      const sha256 = createHash('sha256').update(content).digest('hex')
      verda.put(
        `config/${name}.sha256`,
        `# item: ${item}\n# time: ${time}\n# bytes: ${content.length}\n${sha256}  ${name}\n`,
      )
    },
    /** What `tar` and `sha256sum`, not our code, report of every archive with a record. */
    checkByHand: (inCache = 'config') => checkByHand(path.join(cache, inCache)),
    contentOf: (key: string, member: string) =>
      execFileSync('tar', ['-xzOf', path.join(cache, key), member]).toString(),
    members: (key: string) =>
      execFileSync('tar', ['-tzf', path.join(cache, key)])
        .toString()
        .trimEnd()
        .split('\n'),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  }

  if (copyOf !== undefined) return verda
  verda.write('var/lib/tailscale/tailscaled.state', '{"key":"state"}', 0o600)
  for (const kind of ['rsa', 'ed25519']) {
    verda.write(`etc/ssh/ssh_host_${kind}_key`, `private ${kind}\n`, 0o600)
    verda.write(`etc/ssh/ssh_host_${kind}_key.pub`, `public ${kind}\n`)
  }
  verda.write('etc/ssh/sshd_config', 'Port 22\n')
  verda.write('etc/fail2ban/jail.local', '[sshd]\nenabled = true\n')
  verda.write('etc/ufw/user.rules', '*filter\nCOMMIT\n')
  verda.write('home/dev/comfyume-v1/.env', 'PASSWORD=pa$$word-of-user001\n', 0o600)
  verda.write('home/dev/notes.txt', 'notes\n')
  verda.write('root/.bashrc', '# root\n')
  settle()
  return verda
}

/** Takes the locks that another backup-cron would hold. */
export function holdItems({ settings }: Pick<Verda, 'settings'>, held: readonly string[]): Promise<Locks> {
  const request: Request = { command: 'backup-cron', only: [...held] }
  const used = readSettings(settings, ['sfs'])
  const { jobs } = makePlan('backup-cron', selectItems(request), used, new Date())
  return takeLocks(locksOf(jobs, used), 'backup-cron')
}

/** Waits for more than a tick of the file clock: recent changes never count as unchanged. */
export function settle(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 40)
}

export function itemOf(report: Report, item: string): ItemOutcome {
  const found = report.items.find((outcome) => outcome.item === item)
  if (!found) throw new Error(`the report has no ${item}: ${JSON.stringify(report)}`)
  return found
}

export function reportOf(run: Run): Report {
  return JSON.parse(run.stdout)
}

async function inOwnProcess(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  { killAfter, onStart, uid, answers }: RunOptions,
): Promise<Run> {
  const words = ['--import', 'tsx', path.join(project, `scripts/${command}.ts`), ...args]
  const [program, its] = answers === undefined ? [process.execPath, words] : terminal(words)
  const child = spawn(program, its, {
    cwd: project,
    env,
    stdio: [answers === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  onStart?.(child.pid as number)
  if (answers !== undefined) type(child, answers)
  void killAfter?.then(() => child.kill('SIGKILL'))
  const run: Run = { code: null, signal: null, stdout: '', stderr: '' }
  child.stdout?.on('data', (data) => {
    run.stdout += data
  })
  child.stderr?.on('data', (data) => {
    run.stderr += data
  })
  ;[run.code, run.signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.on('close', (...ending) => resolve(ending)),
  )
  return run
}

/** A terminal from util-linux, in the form of Debian and Ubuntu. */
function terminal(words: readonly string[]): [string, string[]] {
  const quoted = [process.execPath, ...words].map((word) => `'${word.replaceAll("'", "'\\''")}'`)
  return ['script', ['--quiet', '--return', '--flush', '--command', quoted.join(' '), '/dev/null']]
}

function type(child: ChildProcess, answers: NonNullable<RunOptions['answers']>): void {
  let shown = ''
  let next = 0
  child.stdout?.on('data', (data) => {
    shown += data
    const answer = answers[next]
    if (answer === undefined || !answer.when.test(shown)) return
    next++
    shown = ''
    if (typeof answer.type === 'string') child.stdin?.write(answer.type)
    else answer.type(child.pid as number)
  })
}

/** Gives every setting, mostly empty, so that neither this machine's environment nor a .env matters. */
export function environment(verda: Pick<Verda, 'folder' | 'tmp' | 'settings'>, env: Record<string, string>) {
  const names = [
    ...readFileSync(path.join(project, 'lib/settings/settings.ts'), 'utf8').matchAll(/'([A-Z][A-Z0-9_]+)'/g),
  ]
  const none = Object.fromEntries(names.map(([, name]) => [name as string, '']))
  const secrets = Object.fromEntries(
    ['R2', 'HETZNER'].flatMap((store) =>
      ['ENDPOINT', 'ACCESS_KEY_ID', 'SECRET_ACCESS_KEY'].map((name) => [`${store}_${name}`, '']),
    ),
  )
  return {
    ...none,
    ...secrets,
    PATH: process.env.PATH,
    HOME: verda.folder,
    TMPDIR: verda.tmp,
    XDG_STATE_HOME: path.join(verda.folder, 'state'),
    ...verda.settings,
    ...env,
  }
}

function checkByHand(folder: string): string[] {
  const problems: string[] = []
  const names = existsSync(folder) ? readdirSync(folder) : []
  for (const record of names.filter((name) => name.endsWith('.sha256'))) {
    try {
      execFileSync('sha256sum', ['-c', '--strict', '--quiet', record], { cwd: folder, stdio: 'pipe' })
      execFileSync('tar', ['-tzf', record.replace(/\.sha256$/, '')], { cwd: folder, stdio: 'pipe' })
    } catch (error) {
      problems.push(`${record}: ${(error as { stderr: Buffer }).stderr.toString().trim()}`)
    }
  }
  return problems
}
