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
import { carryOut } from '../../lib/backup.ts'
import { openHosts } from '../../lib/hosts/open.ts'
import { takeLocks } from '../../lib/locks.ts'
import { makePlan } from '../../lib/plan.ts'
import { exitCode, type ItemOutcome, type Report } from '../../lib/report.ts'
import { type Request, selectItems } from '../../lib/select.ts'
import { readSettings } from '../../lib/settings.ts'
import { openStore } from '../../lib/stores/open.ts'
import type { AppendOnlyStore } from '../../lib/stores/store.ts'

const project = path.resolve(import.meta.dirname, '../..')

/** How a run of the script ended. */
export interface Run {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface RunOptions {
  /** Over the settings of this Verda. */
  env?: Record<string, string>
  /** The child is killed as soon as this settles. */
  killAfter?: Promise<unknown>
  /** Given the pid of the child. */
  onStart?(pid: number): void
  /** As this user; only root can. */
  uid?: number
  /** On a terminal, where what is shown is all on standard output: each answer is typed once its question is there. */
  answers?: readonly { when: RegExp; type: string }[]
}

export interface InProcess {
  only?: string[]
  quick?: boolean
  now?: string
  acceptShrink?: boolean
  env?: Record<string, string>
  /** In the place of the store that the settings name. */
  store?: (store: AppendOnlyStore) => AppendOnlyStore
}

export type Verda = ReturnType<typeof buildVerda>

/**
 * A small Verda in a temporary folder: real files of every default item but nginx and ssl, and an empty share. `cron` runs the real
 * script in a process of its own, with no setting of this machine's; `run` does the same in this process, which is faster.
 */
export function buildVerda({ folder = mkdtempSync(path.join(tmpdir(), 'verda-')) } = {}) {
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
    /** Puts a file below the root. */
    write(file: string, content: string | Buffer, mode = 0o644) {
      const target = path.join(root, file)
      mkdirSync(path.dirname(target), { recursive: true })
      writeFileSync(target, content)
      chmodSync(target, mode)
    },
    remove: (file: string) => rmSync(path.join(root, file), { recursive: true }),

    cron: (args: string[] = [], options: RunOptions = {}) => verda.script('backup-cron', args, options),
    restore: (args: string[] = [], options: RunOptions = {}) => verda.script('restore', args, options),

    /** A script, with its flags, to its end. */
    async script(
      command: string,
      args: string[],
      { env = {}, killAfter, onStart, uid, answers }: RunOptions = {},
    ): Promise<Run> {
      const words = ['--import', 'tsx', path.join(project, `scripts/${command}.ts`), ...args]
      const [program, its] = answers === undefined ? [process.execPath, words] : terminal(words)
      const child = spawn(program, its, {
        cwd: project,
        env: environment(verda, env),
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
    },

    /** What the script does between its flags and its exit code. Default: the item env alone. */
    async run({ only = ['env'], quick, now, acceptShrink = false, env, store }: InProcess = {}) {
      const request: Request = { command: 'backup-cron', only, ...(quick ? { quick } : {}) }
      const used = readSettings({ ...settings, ...(now ? { BACKUP_NOW: now } : {}), ...env }, ['sfs'])
      const plan = makePlan('backup-cron', selectItems(request), used, used.now as Date)
      const locks = await takeLocks(
        plan.jobs.map(({ item }) => item),
        used.sfs.cache + used.environment,
        'backup-cron',
      )
      const hosts = openHosts(used, 'backup-cron')
      try {
        const report = await carryOut(plan, {
          settings: used,
          locks,
          host: (name) => hosts.get(name),
          store: (name, bucket) => (store ?? ((same) => same))(openStore(name, bucket, used)),
          acceptShrink,
          watch: {
            itemStarted() {},
            total() {},
            bytes() {},
            fileDone() {},
            itemDone() {},
            rotated() {},
            problem() {},
          },
          clock: () => used.now as Date,
        })
        return { report, code: exitCode(report), item: itemOf(report, only[0] as string) }
      } finally {
        await locks.release()
        await hosts.close()
      }
    },

    /** What a script of this Verda has of an environment. */
    environment: (env: Record<string, string> = {}) => environment(verda, env),
    /** The names in a folder of the cache, sorted, hidden ones too. */
    names: (inCache = 'config') =>
      existsSync(path.join(cache, inCache)) ? readdirSync(path.join(cache, inCache)).sort() : [],
    read: (key: string) => readFileSync(path.join(cache, key)),
    /** Puts a file into the cache that no backup made. */
    put(key: string, content: string | Buffer) {
      mkdirSync(path.dirname(path.join(cache, key)), { recursive: true })
      writeFileSync(path.join(cache, key), content)
    },
    /** An archive with its record, as a run at `time` (ISO) would have left them. */
    putBackup(item: string, stamp: string, time: string, content = `content of ${item} ${stamp}`) {
      const name = `${item}-${stamp}.tar.gz`
      verda.put(`config/${name}`, content)
      const sha256 = createHash('sha256').update(content).digest('hex')
      verda.put(
        `config/${name}.sha256`,
        `# item: ${item}\n# time: ${time}\n# bytes: ${content.length}\n${sha256}  ${name}\n`,
      )
    },
    /** What `tar` and `sha256sum`, and no code of ours, say of every archive that has a record. */
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

/** Lets the clock that dates files go on by more than a tick: what changed within the last one is never called unchanged. */
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

/** A terminal from util-linux, as Debian and Ubuntu have it. */
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
    child.stdin?.write(answer.type)
  })
}

/** Every setting is given, as empty as can be, so that neither this machine's environment nor a .env here says anything. */
export function environment(verda: Pick<Verda, 'folder' | 'tmp' | 'settings'>, env: Record<string, string>) {
  const names = [
    ...readFileSync(path.join(project, 'lib/settings.ts'), 'utf8').matchAll(/'([A-Z][A-Z0-9_]+)'/g),
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
