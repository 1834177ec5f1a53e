import { Readable } from 'node:stream'
import { runAgain } from '../../text.ts'
import { NoSuchKey } from '../store.ts'
import type { Connection } from './client.ts'
import { S3Failure } from './failure.ts'

/** Bytes per request when a content is read over several connections. */
const rangeBytes = 8 * 2 ** 20

export interface ReadOptions {
  /** The first byte. */
  from?: number
  /** The byte after the last one. Default: the end. */
  to?: number
  /** Ranges in flight, each held in memory. Over a long distance one connection is too slow. */
  connections?: number
}

/** The content of a key. Resumes a broken or stalled connection on the same object. Throws NoSuchKey. */
export async function read(
  connection: Connection,
  key: string,
  { from = 0, to, connections = 1 }: ReadOptions = {},
): Promise<Readable> {
  const first = await get(connection, key, from, connections > 1 ? from + rangeBytes : to)
  if (first === undefined) return Readable.from([])
  const { etag } = first
  const upTo = connections > 1 ? Math.min(first.total, to ?? first.total) : first.end
  const bodies = new Set<Readable>()
  let left = false

  /** The bytes of one answer. When it breaks off, requests the rest. */
  async function* bytesOf(answer: Answer): AsyncGenerator<Buffer> {
    let [body, position] = [answer.body, answer.from]
    let failures = 0
    while (true) {
      bodies.add(body)
      try {
        for await (const chunk of body) {
          position += chunk.length
          if (position > answer.end) throw tooLong
          failures = 0
          yield chunk
        }
        if (position === answer.end) return
        throw new S3Failure(
          `${connection.name}: ${key} ended ${answer.end - position} bytes too early`,
          'IncompleteRead',
          undefined,
          true,
        )
      } catch (error) {
        if (error === tooLong || left) throw error
        if (++failures >= connection.patience.attempts) throw brokenOff(connection, key, position, error)
        await connection.pause(failures, error)
        const rest = await get(connection, key, position, answer.end, etag)
        if (rest === undefined) throw brokenOff(connection, key, position, error)
        bodies.delete(body)
        body = rest.body
      } finally {
        bodies.delete(body)
      }
    }
  }
  const tooLong = strange(connection, key, 'it gives more bytes than it said')

  async function rangeFrom(start: number): Promise<Buffer[]> {
    const end = Math.min(start + rangeBytes, upTo)
    const answer = await get(connection, key, start, end, etag)
    if (answer?.end !== end)
      throw strange(connection, key, `asked for what comes before byte ${end}, it gives something else`)
    if (left) answer.body.destroy()
    const chunks: Buffer[] = []
    for await (const chunk of bytesOf(answer)) chunks.push(chunk)
    return chunks
  }

  async function* bytes(first: Answer): AsyncGenerator<Buffer> {
    const ranges: Promise<Buffer[]>[] = []
    let next = first.end
    const ask = () => {
      for (; next < upTo && ranges.length < connections; next += rangeBytes) {
        const range = rangeFrom(next)
        // Its turn awaits it and sees its failure.
        range.catch(() => {})
        ranges.push(range)
      }
    }
    let position = from
    for await (const chunk of bytesOf(first)) {
      yield chunk
      position += chunk.length
      // A reader that wants only the beginning has left by now.
      if (position - from > rangeBytes / 2) ask()
    }
    for (ask(); ranges.length > 0; ask()) yield* (await ranges.shift()) as Buffer[]
  }

  const content = Readable.from(bytes(first))
  // A reader that leaves must not wait for silent connections.
  content.once('close', () => {
    left = true
    for (const body of bodies) body.destroy()
  })
  return content
}

interface Answer {
  body: Readable
  /** The answer covers the bytes `from` (inclusive) to `end` (exclusive). */
  from: number
  end: number
  /** The size of the object in bytes. */
  total: number
  etag: string | undefined
}

/** Undefined when the object ends at or before `from`. */
async function get(
  connection: Connection,
  key: string,
  from: number,
  to?: number,
  etag?: string,
): Promise<Answer | undefined> {
  try {
    const answer = await connection.request(`read ${key}`, ({ client, sdk }) =>
      client.send(
        new sdk.GetObjectCommand({
          Bucket: connection.bucket,
          Key: connection.path(key),
          Range: from > 0 || to !== undefined ? `bytes=${from}-${to === undefined ? '' : to - 1}` : undefined,
          IfMatch: etag,
        }),
      ),
    )
    const { Body, ContentLength, ContentRange, ETag } = answer
    if (ContentLength === undefined) throw strange(connection, key, 'it does not say how long it is')
    if (from > 0 && !ContentRange?.startsWith(`bytes ${from}-`))
      throw strange(connection, key, `asked for what comes from byte ${from} on, it gives something else`)
    const end = from + ContentLength
    const total = Number(ContentRange?.split('/')[1] ?? end)
    if (!(total >= end)) throw strange(connection, key, `it gives bytes up to ${end}, of ${total} in all`)
    return { body: Body as Readable, from, end, total, etag: ETag }
  } catch (error) {
    if (error instanceof S3Failure && error.status === 416) return undefined
    if (error instanceof S3Failure && error.status === 404 && error.code !== 'NoSuchBucket')
      throw new NoSuchKey(connection.name, key, { cause: error })
    throw error
  }
}

/** The code of the failure when a server sends something other than what was requested. */
export const strangeAnswer = 'StrangeAnswer'

/** Not transient: another try would bring the same answer. */
function strange(connection: Connection, key: string, why: string): S3Failure {
  return new S3Failure(
    `${connection.name}: the answer to reading ${key} makes no sense: ${why}. Ask the provider, or look for a proxy in between`,
    strangeAnswer,
    undefined,
    false,
  )
}

function brokenOff(connection: Connection, key: string, position: number, cause: unknown): S3Failure {
  const { code = 'unknown' } = cause as { code?: string }
  return new S3Failure(
    `${connection.name}: reading ${key} broke off at byte ${position} repeatedly (${code}): check the network, then ${runAgain()}`,
    code,
    undefined,
    true,
  )
}
