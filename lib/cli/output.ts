import { closeSync } from 'node:fs'
import { messageOf, printableLines } from '../text.ts'

/** How a run's output and pings went. A failure makes `ok` false, but does not affect the work itself. */
export interface Told {
  ok: boolean
  /** The output that could not be written. Absent if there is none. */
  output?: LostOutput[]
  /** Whether the monitoring service took the pings. Absent if none is set up. */
  ping?: PingOutcome
}

/** The first failure of one of this process's streams. */
export interface LostOutput {
  stream: 'stdout' | 'stderr'
  /** A system code such as ENOSPC. */
  error: string
}

export interface PingOutcome {
  check: string
  ok: boolean
  /** The service's answer, or why it was not reached. */
  problems: string[]
}

const streams = { stdout: process.stdout, stderr: process.stderr } as const
const lost = new Map<LostOutput['stream'], LostOutput>()

/** A full log disk or a closed pipe does not end a run. Remember what was lost. */
export function surviveLostOutput(): void {
  for (const stream of ['stdout', 'stderr'] as const)
    streams[stream].on('error', (error: NodeJS.ErrnoException) => {
      if (!lost.has(stream)) lost.set(stream, { stream, error: error.code ?? error.message })
    })
}

/** The first failure of each stream so far. */
async function lostOutput(): Promise<LostOutput[]> {
  // Streams report their errors in a later turn of the event loop.
  await new Promise((resolve) => setImmediate(resolve))
  return [...lost.values()]
}

/** Notes lost output in a report, which makes it not ok. */
export async function noteLostOutput(report: Told): Promise<void> {
  const output = await lostOutput()
  if (output.length === 0) return
  report.output = output
  report.ok = false
}

/**
 * Waits until all output is written, then reports each stream's losses on the other. A reader that left
 * early, such as `head`, is fine. Returns whether anything was lost.
 */
export async function endOutput(command: string): Promise<boolean> {
  await Promise.all([flushed(streams.stdout), flushed(streams.stderr)])
  const losses = await lostOutput()
  for (const { stream, error } of losses) {
    const other = stream === 'stdout' ? 'stderr' : 'stdout'
    if (error !== 'EPIPE' && !lost.has(other))
      streams[other].write(
        `${command}: ${names[stream]} could not be written (${error}); nothing else was affected\n`,
      )
  }
  await Promise.all([flushed(streams.stdout), flushed(streams.stderr)])
  // At exit Node resets its terminal and aborts if that is gone, so close it first.
  if (losses.some(({ error }) => error === 'EIO')) for (const fd of [0, 1, 2]) closeSync(fd)
  return losses.length > 0
}

const names = { stdout: 'standard output', stderr: 'standard error' }

function flushed(stream: NodeJS.WriteStream): Promise<void> | undefined {
  if (stream.writableLength === 0) return undefined
  return new Promise((resolve) => stream.write('', () => resolve()))
}

export function print(text: string): void {
  coloured(process.stdout).write(`${text}\n`)
}

/** Prints on standard error why a command failed. Returns the exit code. */
export function complain(command: string, error: unknown): 1 {
  process.stderr.write(`${command}: ${printableLines(messageOf(error))}\n`)
  return 1
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

interface Out {
  isTTY?: boolean
  write(text: string): unknown
}

const [red, green, yellow] = [31, 32, 33]

/** The colour of a line's first word after the time. */
const colours: Record<string, number> = {
  FAILED: red,
  PROBLEM: red,
  BROKEN: red,
  MISSING: red,
  WRONG: red,
  NOT: red,
  BUSY: yellow,
  warning: yellow,
  waiting: yellow,
  ok: green,
  OK: green,
  SAFE: green,
  stored: green,
}

/** Colours result words if the stream has colours: see https://no-color.org and https://force-color.org. */
export function coloured<Stream extends Out>(
  stream: Stream,
  // These belong to the terminal and are not settings of the toolkit.
  environment: NodeJS.ProcessEnv = process.env,
): Pick<Stream, 'isTTY' | 'write'> {
  const { NO_COLOR, FORCE_COLOR, TERM } = environment
  const shows = FORCE_COLOR ? FORCE_COLOR !== '0' : stream.isTTY === true && TERM !== 'dumb'
  if (NO_COLOR || !shows) return stream
  const paint = (all: string, time = '', word = '') =>
    colours[word] === undefined ? all : `${time}\u001B[${colours[word]}m${word}\u001B[39m`
  return {
    isTTY: stream.isTTY,
    write: (text: string) => stream.write(text.replace(/^(\S+Z )?(\w+)/gm, paint)),
  } as Pick<Stream, 'isTTY' | 'write'>
}
