import { Readable } from 'node:stream'
import { type Connection, pause } from './s3-client.ts'
import { S3Failure } from './s3-failure.ts'
import { NoSuchKey } from './store.ts'

/** In bytes: so long are the ranges in which a content is asked for over several connections. */
const rangeBytes = 8 * 2 ** 20

export interface ReadOptions {
  /** The first byte. */
  from?: number
  /** The byte after the last one; without it, all that there is. */
  to?: number
  /** How many ranges may be on their way at once, each kept in memory until its turn: over a long line, one connection alone brings only a part of what the line can. */
  connections?: number
}

/**
 * The content of a key. A connection that breaks or stalls half-way is taken up again where it stopped, and the same object is asked for.
 * Throws NoSuchKey.
 */
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

  /** The bytes of one answer, with what further answers bring of them when it breaks off. */
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
        await pause(connection.patience, failures)
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
        // Whether it came is asked in its turn.
        range.catch(() => {})
        ranges.push(range)
      }
    }
    let position = from
    for await (const chunk of bytesOf(first)) {
      yield chunk
      position += chunk.length
      // Who wants to see the beginning alone has left by now.
      if (position - from > rangeBytes / 2) ask()
    }
    for (ask(); ranges.length > 0; ask()) yield* (await ranges.shift()) as Buffer[]
  }

  const content = Readable.from(bytes(first))
  // A reader that leaves must not wait for connections on which nothing comes.
  content.once('close', () => {
    left = true
    for (const body of bodies) body.destroy()
  })
  return content
}

interface Answer {
  body: Readable
  /** The bytes of the object that this answer brings: from the first up to and without `end`. */
  from: number
  end: number
  /** How long the object is. */
  total: number
  etag: string | undefined
}

/** Undefined when there is nothing at or after `from`. */
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

/** The code of a failure to read from a server that gives something else than was asked for. */
export const strangeAnswer = 'StrangeAnswer'

/** To ask again would bring the same, and for ever. */
function strange(connection: Connection, key: string, why: string): S3Failure {
  return new S3Failure(
    `${connection.name}: the answer to reading ${key} makes no sense: ${why}. Ask the provider, or see what stands between`,
    strangeAnswer,
    undefined,
    false,
  )
}

function brokenOff(connection: Connection, key: string, position: number, cause: unknown): S3Failure {
  const { code = 'unknown' } = cause as { code?: string }
  return new S3Failure(
    `${connection.name}: reading ${key} broke off at byte ${position} again and again (${code}): check the network, then run again`,
    code,
    undefined,
    true,
  )
}
