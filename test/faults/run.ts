import { type ChildProcess, spawn } from 'node:child_process'
import path from 'node:path'

const project = path.resolve(import.meta.dirname, '../..')
const preload = path.join(import.meta.dirname, 'fault-at.mjs')

/** How a run of a script ended. */
export interface Finished {
  command: string
  args: readonly string[]
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
  /** It was ended because it went on and on. */
  hung: boolean
  seconds: number
}

export interface RunOptions {
  /** Over the world's settings. */
  env?: Record<string, string>
  /** Given the run once it has begun. */
  onStart?(child: ChildProcess): void
  /** What a call of it to a file system does: see fault-at.mjs. */
  faultAt?: FaultAt
  /** Words before the program: a tool that runs it. */
  before?: readonly string[]
  /** Seconds after which it counts as hanging: twice as long as a store waits for a connection on which nothing moves. */
  limit?: number
}

export interface FaultAt {
  below: readonly string[]
  at?: number
  how?: string
  times?: number
  looks?: boolean
  count?: string
}

/** Runs a script of this project in a process group of its own, with the environment given and no other. */
export function runScript(command: string, args: readonly string[], options: RunOptions): Promise<Finished> {
  const { env = {}, faultAt, before = [], limit = 300 } = options
  const [program = '', ...words] = [
    ...before,
    process.execPath,
    ...['--import', 'tsx'],
    ...(faultAt ? ['--import', preload] : []),
    path.join(project, `scripts/${command}.ts`),
    ...args,
  ]
  const began = Date.now()
  const child = spawn(program, words, {
    cwd: project,
    detached: true,
    env: { ...env, ...(faultAt ? { FAULT_AT: JSON.stringify(faultAt) } : {}) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const run: Finished = {
    command,
    args,
    code: null,
    signal: null,
    stdout: '',
    stderr: '',
    hung: false,
    seconds: 0,
  }
  child.stdout.on('data', (data) => {
    run.stdout += data
  })
  child.stderr.on('data', (data) => {
    run.stderr += data
  })
  const timer = setTimeout(() => {
    run.hung = true
    killGroup(child)
  }, limit * 1000)
  options.onStart?.(child)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    // What it started may hold its output open for ever: how it ended is known as soon as it has.
    child.once('exit', (code, signal) => {
      run.code = code
      run.signal = signal
      run.seconds = (Date.now() - began) / 1000
      clearTimeout(timer)
      const patience = setTimeout(() => resolve(run), 2000)
      child.once('close', () => {
        clearTimeout(patience)
        resolve(run)
      })
    })
  })
}

export function killGroup(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    if (child.pid) process.kill(-child.pid, signal)
  } catch {
    // It is gone already.
  }
}
