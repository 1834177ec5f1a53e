import { once } from 'node:events'
import { Readable } from 'node:stream'
import { frame } from './frame.ts'
import { HostError, type Outcome, type RunOptions } from './host.ts'
import { errorLines } from './lines.ts'
import { wrapScript } from './script.ts'
import type { Child, Way } from './way.ts'

/** See `Host.stream`. Destroying the stream kills the script and everything that it started. */
export function scriptStream(
  way: Way,
  script: string,
  args: string[],
  judge: (outcome: Outcome) => void,
  { timeout, onLine }: RunOptions = {},
): Readable {
  const command = wrapScript(script, args)
  const output = frame(command)
  const errors = errorLines(onLine)
  let child: Child | undefined
  let wanted = false
  let closed = false

  const stream = new Readable({
    // So much is read ahead, so that the script goes on while a store is slow for a moment.
    objectMode: true,
    highWaterMark: 4,
    read() {
      wanted = true
      pump()
    },
    destroy(error, done) {
      clearTimeout(timer)
      if (child && !closed) kill(child)
      done(error)
    },
  })
  const fail = (error: unknown) => {
    stream.destroy(error instanceof Error ? error : new Error(String(error)))
  }
  const timer = timeout && setTimeout(() => fail(tooSlow(way.name, timeout)), timeout * 1000)

  // Reads only what the consumer asked for: a child with unread output is not closed, and so never judged early.
  const pump = () => {
    while (wanted && child) {
      const chunk: Buffer | null = child.stdout.read()
      if (chunk === null) return
      for (const bytes of output.push(chunk)) wanted = stream.push(bytes)
    }
  }

  const follow = async () => {
    const started = await way.start(command)
    if (stream.destroyed) return kill(started)
    child = started
    // The far side may be gone before it took what was written; that it is gone shows in how the child ends.
    started.stdin.on('error', () => {})
    started.stdout.on('readable', pump).on('error', fail)
    started.stderr.on('data', (chunk) => attempt(() => errors.push(chunk), fail)).on('error', fail)
    const [code, signal] = await once(started, 'close')
    closed = true
    if (stream.destroyed) return
    const stderr = errors.finish()
    const { rest, exitCodes } = output.finish()
    if (!exitCodes) {
      const said = `${stderr}${output.banner()}`.trim()
      throw way.explain({ begun: output.begun(), code, signal, said })
    }
    judge({ exitCodes, stderr })
    clearTimeout(timer)
    if (rest.length > 0) stream.push(rest)
    stream.push(null)
  }
  follow().catch(fail)
  return stream
}

function attempt(action: () => void, fail: (error: unknown) => void) {
  try {
    action()
  } catch (error) {
    fail(error)
  }
}

/** Closing the lifeline also reaches what this user may not signal (sudo) and what runs on another machine (ssh). */
function kill(child: Child) {
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy()
  try {
    if (child.pid) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // Gone already, or not ours to signal.
  }
  // A process that hangs in the kernel (a dead NFS mount) cannot be killed; it must not hold this one up as well.
  child.unref()
}

function tooSlow(name: string, seconds: number): HostError {
  return new HostError(
    `${name} did not answer within ${seconds} s: its command was ended. A mount that hangs (df) or a slow network is the usual cause`,
  )
}
