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
  /** It was ended because it took too long. */
  hung: boolean
  seconds: number
}

export interface RunOptions {
  /** Added to the world's settings. */
  env?: Record<string, string>
  /** Called with the process once it runs. */
  onStart?(child: ChildProcess): void
  /** The fault for its file system calls: see fault-at.mjs. */
  faultAt?: FaultAt
  /** A program and its arguments that run this one. */
  before?: readonly string[]
  /** Seconds until it counts as hanging: twice as long as a store waits for an idle connection. */
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

/** Runs a script of this project in its own process group, with only the given environment. */
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
    // A child may hold the output open forever, so do not wait for the streams to close.
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
    // It has already ended.
  }
}
