import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import type { Options as ExecaOptions } from 'execa'

/** All processes on this machine start here, through execa. */

/** A process whose output streams. Read all output, or `ended` never resolves. */
export interface Child {
  stdin: Writable
  stdout: Readable
  stderr: Readable
  ended: Promise<Ending>
  /** Kills the process or its group, and returns at once. */
  kill(): void
  terminate(): void
  /** Lets this process end before the child. */
  unref(): void
  /** Undoes unref, for callers that wait for the child. */
  ref(): void
}

export interface Ending {
  /** Absent when a signal ended it. */
  code?: number | undefined
  signal?: string | undefined
}

export interface StartOptions {
  /** Start a new process group, so that `kill` also reaches the child's children. */
  group?: boolean
  /** Output streams to discard. */
  ignore?: readonly ('stdout' | 'stderr')[]
  /** Added to childEnvironment. */
  env?: NodeJS.ProcessEnv
}

/** Starts a program. Throws the system's error when it cannot be started. */
export async function start(command: readonly string[], options: StartOptions = {}): Promise<Child> {
  const { group = false, ignore = [], env } = options
  const [file = '', ...args] = command
  const child = (await load())(file, args, {
    ...surroundings(env),
    detached: group,
    buffer: false,
    stdin: 'pipe',
    stdout: ignore.includes('stdout') ? 'ignore' : 'pipe',
    stderr: ignore.includes('stderr') ? 'ignore' : 'pipe',
  })
  const { pid } = child
  const [stdin, stdout, stderr] = [child.stdin, child.stdout as Readable, child.stderr as Readable]
  // execa discards output that has no reader yet, and here the reader may come later.
  for (const output of [stdout, stderr]) output?.pause()
  // A child that ended takes no input. Its exit code says why.
  stdin.on('error', () => {})
  let gone = false
  const result = child.then((result) => {
    gone = true
    return result
  })
  await Promise.race([once(child, 'spawn'), result.then(orNotStarted)])
  return {
    stdin,
    stdout,
    stderr,
    ended: result.then(({ exitCode, signal }) => ({ code: exitCode, signal })),
    unref: () => child.unref(),
    ref: () => child.ref(),
    terminate: () => child.kill('SIGTERM'),
    kill() {
      if (gone) return
      try {
        if (pid !== undefined) process.kill(group ? -pid : pid, 'SIGKILL')
      } catch {
        // It has ended, or it runs as another user through sudo.
      }
      // Close last: a child that is still alive takes the end of its input for the end of the content.
      for (const stream of [stdin, stdout, stderr]) stream?.destroy()
      // A child stuck in the kernel (a dead NFS mount) cannot be killed. Do not wait for it.
      const waiting = setTimeout(() => child.unref(), killSeconds * 1000)
      void result.then(() => clearTimeout(waiting))
    },
  }
}

/** How long to wait for a killed child. */
const killSeconds = 5

export interface RunOptions extends Pick<ExecaOptions, 'cwd' | 'encoding'> {
  env?: NodeJS.ProcessEnv
  /** Throw RunFailed on any exit code but 0. */
  reject?: boolean
  /** Standard input. Default: none. */
  input?: string | Uint8Array | Readable
  /** After this many seconds the child is killed and TimedOut is thrown. */
  seconds?: number
}

export interface Ran {
  /** 128 when a signal ended it. */
  exitCode: number
  stdout: string
  stderr: string
}

/** Runs a program to its end. Throws the system's error when it cannot be started. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { env, input, seconds, reject = false, ...more } = options
  const [file = '', ...args] = command
  const child = (await load())(file, args, {
    ...surroundings(env),
    ...more,
    ...(input === undefined ? { stdin: 'ignore' } : { input }),
    maxBuffer: 2 ** 30,
  })
  const answer = child.then((result) => {
    orNotStarted(result)
    const { exitCode = 128, stdout, stderr } = result
    if (reject && exitCode !== 0) throw new RunFailed(file, exitCode, String(stderr))
    return { exitCode, stdout: String(stdout), stderr: String(stderr) }
  })
  if (seconds === undefined) return answer
  return within(seconds, answer, () => {
    child.kill('SIGKILL')
    for (const stream of [child.stdout, child.stderr]) stream?.destroy()
    child.unref()
    return new TimedOut(`${file} did not end within ${seconds} s`)
  })
}

/** Runs a program on this terminal with the whole environment. Returns its exit code. */
export async function runOnTerminal(
  command: readonly string[],
  stdout: 'inherit' | 2 = 'inherit',
): Promise<number> {
  const [file = '', ...args] = command
  const child = (await load())(file, args, { stdio: ['inherit', stdout, 'inherit'], reject: false })
  return (await child).exitCode ?? 128
}

/** A program that had to succeed failed. The message has its last line. */
export class RunFailed extends Error {
  override name = 'RunFailed'
  constructor(
    program: string,
    exitCode: number,
    readonly stderr: string,
  ) {
    super(`${program} failed: ${stderr.trim().split('\n').at(-1) || `exit ${exitCode}`}`)
  }
}

export class TimedOut extends Error {
  override name = 'TimedOut'
}

/** Runs bash without the user's own shell setup: no BASH_ENV, no ~/.bashrc. */
export function bash(script: string, args: readonly string[] = []): string[] {
  return ['bash', '--norc', '-p', '-o', 'pipefail', '-c', script, 'bash', ...args]
}

/** PATH plus the folders that cron's PATH lacks. */
export function systemPath(): string {
  const sbin = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  return [process.env.PATH, sbin].filter(Boolean).join(':')
}

/** The whole environment of a child: no keys, and tools speak English. */
export function childEnvironment(): NodeJS.ProcessEnv {
  const there = passed.filter((name) => process.env[name])
  return { ...Object.fromEntries(there.map((name) => [name, process.env[name]])), LC_ALL: 'C' }
}

const passed = ['HOME', 'LOGNAME', 'PATH', 'SHELL', 'SSH_AUTH_SOCK', 'TMPDIR', 'USER', 'XDG_RUNTIME_DIR']

function surroundings(env: NodeJS.ProcessEnv = {}) {
  return { env: { ...childEnvironment(), ...env }, extendEnv: false, reject: false } as const
}

/** Loads execa on first use, because `--help` needs no process. */
async function load() {
  return (await import('execa')).execa
}

function orNotStarted(result: {
  exitCode?: number | undefined
  signal?: string | undefined
  cause?: unknown
}): void {
  if (result.exitCode === undefined && result.signal === undefined) throw result.cause
}

/** Returns the answer, or throws the error of `late` after this many seconds. */
export async function within<T>(seconds: number, answer: Promise<T>, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), seconds * 1000)
  })
  return Promise.race([answer, over]).finally(() => clearTimeout(timer))
}
