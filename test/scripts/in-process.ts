import path from 'node:path'
import { Readable, Writable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import type { Program } from '../../lib/cli/main.ts'

const project = path.resolve(import.meta.dirname, '../..')

/** Everything a command sees of its process. */
export interface Surroundings {
  argv: readonly string[]
  /** The whole environment; this process's own is not added. */
  env: Readonly<Record<string, string | undefined>>
  stdin?: Readable
  stdout: Writable
  stderr: Writable
  /** Default: BACKUP_NOW of the environment, else the current time. */
  now?: Date
  /** The toolkit's folder; default: this project. */
  toolkit?: string
}

/**
 * Runs a toolkit script in this process and returns its exit code: no new Node, no compilation. Runs take
 * turns, because a process has one environment. Kills, signals, users and locks need a real process: see
 * verda.ts.
 */
export function runInProcess(command: string, given: Surroundings): Promise<number> {
  const turn = last.then(() => run(command, given))
  last = turn.catch(() => {})
  return turn
}

/** Restores this process after a test that was abandoned during a run. */
export function endRuns(): void {
  last = Promise.resolve()
  leave()
}

let last: Promise<unknown> = Promise.resolve()
let leave: Undo = () => {}

async function run(command: string, given: Surroundings): Promise<number> {
  const script = pathToFileURL(path.join(project, `scripts/${command}.ts`))
  const { default: program } = (await import(/* @vite-ignore */ script.href)) as { default: Program }
  const own = enter(given)
  leave = own
  try {
    return await program(given.argv, given.toolkit)
  } finally {
    own()
  }
}

/** Sets this process up for the command. Safe to undo twice. */
function enter(given: Surroundings): Undo {
  const undo = [
    replaced('stdin', given.stdin ?? Readable.from([])),
    replaced('stdout', given.stdout),
    replaced('stderr', given.stderr),
    environmentOf(given),
    umaskKept(),
  ]
  return () => {
    for (const one of undo.splice(0).reverse()) one()
  }
}

type Undo = () => void

function replaced(name: 'stdin' | 'stdout' | 'stderr', stream: Readable | Writable): Undo {
  const own = Object.getOwnPropertyDescriptor(process, name) as PropertyDescriptor
  Object.defineProperty(process, name, { value: stream, configurable: true })
  return () => {
    Object.defineProperty(process, name, own)
  }
}

function environmentOf({ env, now }: Surroundings): Undo {
  const own = { ...process.env }
  setEnvironment({ ...env, ...(now ? { BACKUP_NOW: now.toISOString() } : {}) })
  return () => setEnvironment(own)
}

/** Keeps the same object, because the system reads it (the home folder, for example). */
function setEnvironment(wanted: Readonly<Record<string, string | undefined>>): void {
  for (const name of Object.keys(process.env)) if (wanted[name] === undefined) delete process.env[name]
  for (const [name, value] of Object.entries(wanted)) if (value !== undefined) process.env[name] = value
}

function umaskKept(): Undo {
  const own = process.umask()
  return () => {
    process.umask(own)
  }
}

/** A stream that keeps what is written to it. */
export function kept(): { stream: Writable; text: () => string } {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      chunks.push(chunk)
      done()
    },
  })
  return { stream, text: () => Buffer.concat(chunks).toString() }
}
