import { once } from 'node:events'
import { Readable } from 'node:stream'
import { frame } from './frame.ts'
import { HostError, type Outcome, type RunOptions } from './host.ts'
import { errorLines } from './lines.ts'
import { directOutput, type pipedOutput } from './output.ts'
import { wrapScript } from './script.ts'
import type { Child, Way } from './way.ts'

/** See `Host.stream`. Destroying the stream kills the script and everything that it started. */
export function scriptStream(
  way: Way,
  script: string,
  args: string[],
  judge: (outcome: Outcome) => void,
  { timeout, onLine }: RunOptions = {},
  makeOutput: typeof directOutput | typeof pipedOutput = directOutput,
): Readable {
  const command = wrapScript(script, args)
  const framed = frame(command)
  const errors = errorLines(onLine)
  let child: Child | undefined
  let stdout: Readable | undefined
  let closed = false

  const stream = new Readable({
    // So many blocks are read ahead, so that the script goes on while a store is slow for a moment; as objects, for bytes that wait would be put together, which copies them.
    objectMode: true,
    highWaterMark: 4,
    read() {
      stdout?.resume()
    },
    destroy(error, done) {
      clearTimeout(timer)
      stdout?.destroy()
      if (child && !closed) kill(child)
      done(error)
    },
  })
  const fail = (error: unknown) => {
    stream.destroy(error instanceof Error ? error : new Error(String(error)))
  }
  const timer = timeout && setTimeout(() => fail(tooSlow(way.name, timeout)), timeout * 1000)

  const take = (pieces: Buffer[]): boolean => {
    let wanted = true
    for (const bytes of pieces) wanted = stream.push(bytes)
    return wanted
  }

  const follow = async () => {
    const output = await makeOutput(framed, take)
    const started = await way.start(command, output.stdout).catch((error) => {
      output.abandon()
      throw error
    })
    const printed = output.from(started)
    if (stream.destroyed) {
      printed.destroy()
      return kill(started)
    }
    child = started
    stdout = printed
    // The far side may be gone before it took what was written; that it is gone shows in how the child ends.
    started.stdin.on('error', () => {})
    printed.on('error', fail)
    started.stderr.on('data', (chunk) => attempt(() => errors.push(chunk), fail)).on('error', fail)
    // Only what the consumer asked for is read, and only what is read comes to its end: nothing is judged before.
    const readWhole = new Promise((resolve) => printed.once('close', resolve))
    const [code, signal] = await once(started, 'close')
    await readWhole
    closed = true
    if (stream.destroyed) return
    const stderr = errors.finish()
    const { rest, exitCodes } = framed.finish()
    if (!exitCodes) {
      const said = `${stderr}${framed.banner()}`.trim()
      throw way.explain({ begun: framed.begun(), code, signal, said })
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
  for (const stream of [child.stdin, child.stderr]) stream.destroy()
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
