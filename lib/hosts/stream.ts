import { pipeline, type Readable, Transform } from 'node:stream'
import { quote } from '../text.ts'
import { commandSeconds, type Host, HostError, mostAnswer, type Outcome, type RunOptions } from './host.ts'
import { errorLines } from './lines.ts'
import type { Child, Ending } from './process.ts'
import { framing, wrapScript } from './script.ts'

/** How a kind of host starts scripts and explains a lost one. */
export interface Transport {
  name: string
  root: string
  /** Starts the command in its own process group. Throws HostError when the host cannot be reached. */
  start(command: string[]): Promise<Child>
  explain(lost: Lost): HostError
  /** Seconds of silence before `whySilent` is asked. Default: 300. Only tests change it. */
  silentSeconds?: number
  close(): Promise<void>
}

/** A script whose exit codes never arrived. */
export interface Lost extends Ending {
  /** Whether the script had started. */
  begun: boolean
  /** Standard error, and what standard output showed before the script started. */
  said: string
}

export function hostBy(transport: Transport): Host {
  const { name, root, close } = transport
  return {
    name,
    root: root.replace(/(?<=.)\/+$/, ''),
    close,
    stream: (script, args, judge, options) => scriptStream(transport, script, args, judge, options),
    async run(script, args, options) {
      let outcome: Outcome = { exitCodes: [], stderr: '' }
      const judge = (heard: Outcome) => {
        outcome = heard
      }
      const chunks: Buffer[] = []
      let bytes = 0
      for await (const chunk of scriptStream(transport, script, args, judge, options)) {
        bytes += chunk.length
        if (bytes > mostAnswer) throw tooMuch(name)
        chunks.push(chunk)
      }
      return { ...outcome, stdout: Buffer.concat(chunks) }
    },
    async $(pieces, ...values) {
      const words = values.map((value) => [value].flat().map(quote).join(' '))
      const line = String.raw({ raw: pieces }, ...words)
      const { exitCodes, stdout, stderr } = await this.run(line, [], { timeout: commandSeconds })
      return { exitCode: exitCodes.findLast((code) => code !== 0) ?? 0, stdout: stdout.toString(), stderr }
    },
  }
}

/** See `Host.stream`. Destroying the stream kills the script and all its children. */
function scriptStream(
  { name, start, explain, silentSeconds = 300 }: Transport,
  script: string,
  args: string[],
  judge: (outcome: Outcome) => void,
  { timeout, onLine, input, whySilent }: RunOptions = {},
): Readable {
  const command = wrapScript(script, args, input?.length)
  const framed = framing(command)
  const errors = errorLines(onLine)
  let child: Child | undefined

  const stream = new Transform({
    // Lets the script continue while a store is briefly slow.
    readableHighWaterMark: 2 ** 20,
    transform(chunk, _, done) {
      heard = true
      done(null, framed.take(chunk))
    },
    flush: (done) => finish().then((rest) => done(null, rest), done),
    destroy(error, done) {
      clearTimeout(timer)
      clearInterval(watch)
      // Closing its input also ends what this user may not kill (sudo) and what runs remotely (ssh).
      child?.kill()
      done(error)
    },
  })
  let heard = false
  let silences = 0
  const watch = setInterval(() => {
    // What the reader has not taken yet is no silence of the script: a store may be slow.
    silences = heard || stream.writableLength > 0 ? 0 : silences + 1
    heard = false
    if (silences >= mostSilences) stream.destroy(silent(name, silences * silentSeconds))
    else if (silences > 0) whySilent?.().then((error) => error && stream.destroy(error), ignore)
  }, silentSeconds * 1000)
  const timer = timeout && setTimeout(() => stream.destroy(tooSlow(name, timeout)), timeout * 1000)

  /** Law 6: judge the exit codes of all processes before the stream ends. */
  async function finish(): Promise<Buffer> {
    const ending = await (child as Child).ended
    clearInterval(watch)
    const stderr = errors.finish()
    const { rest, exitCodes } = framed.finish()
    if (exitCodes === undefined) {
      throw explain({ ...ending, begun: framed.begun(), said: `${stderr}${framed.banner()}`.trim() })
    }
    judge({ exitCodes, stderr })
    return rest
  }

  start(command.argv).then(
    (started) => {
      child = started
      if (stream.destroyed) return child.kill()
      if (input !== undefined && input.length > 0) child.stdin.write(input)
      child.stderr.on('data', (chunk) => {
        heard = true
        try {
          errors.push(chunk)
        } catch (error) {
          stream.destroy(error as Error)
        }
      })
      child.stderr.resume()
      pipeline(child.stdout, stream, () => {})
    },
    (error) => stream.destroy(error),
  )
  return stream
}

/** A script is not ended because the question why it is silent failed. */
const ignore = () => {}

/** An hour. A survey of millions of files is silent for minutes. */
const mostSilences = 12

function silent(name: string, seconds: number): HostError {
  return new HostError(
    `${name} gave nothing for ${seconds} s while it was being read, so it was ended. A file system or a container engine that hangs is the usual cause`,
  )
}

function tooSlow(name: string, seconds: number): HostError {
  return new HostError(
    `${name} did not answer within ${seconds} s, so its command was ended. A mount that hangs (df) or a slow network is the usual cause`,
  )
}

function tooMuch(name: string): HostError {
  return new HostError(
    `${name} answered with more than ${mostAnswer / 2 ** 20} MiB where a short answer is expected: it was cut off. ` +
      'Check that machine: someone may be tampering with it, or a folder there holds millions of files',
  )
}
