import { Readable } from 'node:stream'
import { type Connection, pause } from './s3-client.ts'
import { S3Failure } from './s3-failure.ts'
import { NoSuchKey } from './store.ts'

/**
 * The content of a key from byte `from` on, up to and without byte `to`. A connection that breaks or stalls
 * half-way is taken up again where it stopped, and the same object is asked for. Throws NoSuchKey.
 */
export async function read(connection: Connection, key: string, from = 0, to?: number): Promise<Readable> {
  const first = await get(connection, key, from, to)
  if (first === undefined) return Readable.from([])
  let current = first.body
  const tooLong = strange(connection, key, 'it gives more bytes than it said')

  async function* bytes(): AsyncGenerator<Buffer> {
    let position = from
    let failures = 0
    while (true) {
      try {
        for await (const chunk of current) {
          position += chunk.length
          if (position > (first?.end ?? 0)) throw tooLong
          failures = 0
          yield chunk
        }
        if (position === first?.end) return
        throw new S3Failure(
          `${connection.name}: ${key} ended ${(first?.end ?? 0) - position} bytes too early`,
          'IncompleteRead',
          undefined,
          true,
        )
      } catch (error) {
        if (error === tooLong) throw error
        if (++failures >= connection.patience.attempts) throw brokenOff(connection, key, position, error)
        await pause(connection.patience, failures)
        const rest = await get(connection, key, position, first?.end, first?.etag)
        if (rest === undefined) throw brokenOff(connection, key, position, error)
        current = rest.body
      }
    }
  }

  const content = Readable.from(bytes(), { objectMode: false })
  // A reader that leaves must not wait for a connection on which nothing comes.
  content.once('close', () => current.destroy())
  return content
}

interface Answer {
  body: Readable
  /** The position after the last byte that this answer brings. */
  end: number
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
    return { body: Body as Readable, end: from + ContentLength, etag: ETag }
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
