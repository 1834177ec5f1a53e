import { createHash, randomInt, randomUUID } from 'node:crypto'
import { PassThrough, pipeline, Readable } from 'node:stream'
import { runAgain } from '../../text.ts'
import { type Digests, sha256Of } from '../digests.ts'
import { type Limit, pool } from '../pool.ts'
import { KeyExists, type Receipt, StoreError } from '../store.ts'
import { type Connection, type S3, setHeader, signedDigest } from './client.ts'
import { S3Failure } from './failure.ts'
import { type Found, lookUp } from './lookup.ts'
import { read } from './read.ts'

export interface UploadOptions {
  partBytes: number
  concurrency: number
  /** Up to this size content is read back whole. Larger content is sampled, about this many bytes. */
  readBackBytes: number
  /** Whether the server refuses a part that differs from what was signed. Called before the first part. */
  refusesDamage(): Promise<boolean>
  limit: Limit | undefined
}

/** S3's limit for one multipart upload. */
const mostParts = 10_000

/** The part size in bytes: `partBytes`, or more whole MiB if `bytes` would need too many parts. */
export function fittingPart(bytes: number, partBytes: number): number {
  if (bytes <= partBytes * mostParts) return partBytes
  // 10 % more, because the size is an estimate.
  return Math.ceil((bytes * 1.1) / mostParts / 2 ** 20) * 2 ** 20
}

/** Metadata of every object. After a lost answer it tells whether this call created the object. */
export const runIdKey = 'run-id'

/**
 * Creates a key from a body of unknown length: in one request if it fits into a part, otherwise in parts of
 * equal size. Throws KeyExists and errors of the body, and then leaves the key as it was.
 */
export async function upload(
  connection: Connection,
  key: string,
  body: Readable,
  digests: Digests,
  options: UploadOptions,
): Promise<Receipt> {
  const runId = randomUUID()
  const metadata = { [runIdKey]: runId }
  const isOurs = (found: Found) => found.metadata[runIdKey] === runId
  const jobs = pool(options.concurrency)
  const parts = partsOf(body, options.partBytes, digests, jobs.signal)

  const { value: first } = await parts.next()
  if (first === undefined) throw new StoreError(`${connection.name}: ${key} has no content`)
  if (first.last) {
    const { bytes, sha256 } = first
    await putObject(connection, key, first, { ...metadata, sha256 }, isOurs, options.limit)
    const receipt = { key, bytes, sha256 }
    await readBack(connection, receipt, [], options.readBackBytes)
    return receipt
  }
  const uploadId = await createUpload(connection, key, metadata)
  const cut = { parts: startingWith(first, parts), digests, jobs }
  return sendParts(connection, key, uploadId, cut, options, { isOurs })
}

/** What is known of an upload's parts and outcome. */
export interface Knowing {
  /** Whether an object under the key is of this upload, after a lost answer. */
  isOurs(found: Found, sent: SentPart[]): boolean | Promise<boolean>
  /** The same part, if the server has it already. */
  there?(part: Part): SentPart | undefined
  onBytes?(bytes: number, how: 'sent' | 'found'): void
}

/** Sends the parts that the server lacks, completes the upload, and reads back what it holds. */
export async function sendParts(
  connection: Connection,
  key: string,
  uploadId: string,
  { parts, digests, jobs }: { parts: AsyncIterable<Part>; digests: Digests; jobs: ReturnType<typeof pool> },
  { refusesDamage, readBackBytes, partBytes, limit }: UploadOptions,
  { isOurs, there, onBytes }: Knowing,
): Promise<Receipt> {
  const refuses = await refusesDamage()
  const sent: SentPart[] = []
  try {
    for await (const part of parts) {
      if (part.number > mostParts) throw tooManyParts(connection, key, partBytes)
      await jobs.add(async () => {
        const found = there?.(part)
        sent.push(found ?? (await sendPart(connection, key, uploadId, part, refuses, jobs.signal, limit)))
        onBytes?.(part.bytes, found ? 'found' : 'sent')
      })
    }
    await jobs.done()
  } catch (error) {
    await jobs.cancel(error)
    throw error
  }
  await completeUpload(connection, key, uploadId, sent, (found) => isOurs(found, sent))
  const receipt = { key, bytes: sent.reduce((sum, part) => sum + part.bytes, 0), sha256: digests.whole.hex() }
  await readBack(connection, receipt, sent, readBackBytes)
  return receipt
}

/** Sends the SHA-256 (signed) and the MD5 along, so that the server refuses a damaged payload. */
async function putObject(
  connection: Connection,
  key: string,
  part: Part,
  metadata: Record<string, string>,
  isOurs: (found: Found) => boolean,
  limit: Limit | undefined,
): Promise<void> {
  const md5 = md5Of(part).toString('base64')
  const ask = ({ client, sdk }: S3) => {
    const command = new sdk.PutObjectCommand({
      Bucket: connection.bucket,
      Key: connection.path(key),
      Body: bodyOf(part, limit),
      ContentLength: part.bytes,
      ContentMD5: md5,
      IfNoneMatch: '*',
      Metadata: metadata,
    })
    setHeader(command, signedDigest, part.sha256)
    return client.send(command)
  }
  await commit(connection, key, ask, isOurs)
}

/**
 * Returns the upload id. Sends the condition here too, so that a taken key is refused before any part is
 * sent. A server that rejects it here (400, 501) gets it on completion only.
 */
export async function createUpload(
  connection: Connection,
  key: string,
  metadata: Record<string, string>,
): Promise<string> {
  const create = (conditional: boolean) =>
    connection.request(`begin an upload of ${key}`, ({ client, sdk }) => {
      const command = new sdk.CreateMultipartUploadCommand({
        Bucket: connection.bucket,
        Key: connection.path(key),
        Metadata: metadata,
      })
      // The SDK has no parameter for it here.
      if (conditional) setHeader(command, 'if-none-match', '*')
      return client.send(command)
    })
  const { UploadId } = await create(true).catch((error) => {
    if (!(error instanceof S3Failure)) throw error
    if (error.status === 412) throw new KeyExists(connection.name, key, { cause: error })
    if (error.status === 400 || error.status === 501) return create(false)
    throw error
  })
  if (UploadId === undefined) throw new StoreError(`${connection.name}: no upload id for ${key}`)
  return UploadId
}

/**
 * Sends one part with its SHA-256 signed. Adds the MD5 only if the server does not check the signature
 * (`refuses` is false), because the MD5 is the most expensive step of a part.
 */
async function sendPart(
  connection: Connection,
  key: string,
  uploadId: string,
  part: Part,
  refuses: boolean,
  signal: AbortSignal,
  limit: Limit | undefined,
): Promise<SentPart> {
  const md5 = refuses ? undefined : md5Of(part).toString('base64')
  const answer = await connection.request(
    `send part ${part.number} of ${key}`,
    ({ client, sdk }) => {
      const command = new sdk.UploadPartCommand({
        Bucket: connection.bucket,
        Key: connection.path(key),
        UploadId: uploadId,
        PartNumber: part.number,
        Body: bodyOf(part, limit),
        ContentLength: part.bytes,
        ContentMD5: md5,
      })
      setHeader(command, signedDigest, part.sha256)
      return client.send(command, { abortSignal: signal })
    },
    signal,
  )
  return {
    number: part.number,
    bytes: part.bytes,
    sha256: part.sha256,
    etag: answer.ETag ?? '',
  }
}

export function md5Of({ pieces }: Part): Buffer {
  const hash = createHash('md5')
  for (const piece of pieces) hash.update(piece)
  return hash.digest()
}

/** Looks the key up again: another writer may have taken it during a long upload. */
async function completeUpload(
  connection: Connection,
  key: string,
  uploadId: string,
  sent: SentPart[],
  isOurs: (found: Found) => boolean | Promise<boolean>,
): Promise<void> {
  if ((await lookUp(connection, key)) !== undefined) throw new KeyExists(connection.name, key)
  const parts = sent
    .toSorted((a, b) => a.number - b.number)
    .map(({ number, etag }) => ({ PartNumber: number, ETag: etag }))
  const ask = ({ silent, sdk }: S3) =>
    silent.send(
      new sdk.CompleteMultipartUploadCommand({
        Bucket: connection.bucket,
        Key: connection.path(key),
        UploadId: uploadId,
        IfNoneMatch: '*',
        MultipartUpload: { Parts: parts },
      }),
    )
  await commit(connection, key, ask, isOurs)
}

async function* startingWith(first: Part, rest: AsyncIterable<Part>): AsyncGenerator<Part> {
  yield first
  yield* rest
}

function tooManyParts(connection: Connection, key: string, partBytes: number): StoreError {
  return new StoreError(
    `${connection.name}: ${key} is much larger than was expected: it does not fit into ${mostParts} parts of ${partBytes} bytes; ${runAgain()}`,
  )
}

/** One part of an upload. All have the same size, except the last. */
export interface Part {
  /** Starts at 1. */
  number: number
  last: boolean
  bytes: number
  /** The body's own buffers, shared with other stores. Do not change them. */
  pieces: readonly Buffer[]
  /** Lower-case hex. */
  sha256: string
}

/**
 * Cuts a body into parts, in order, and adds every byte to `digests`. An empty body is one empty part. Only
 * the parts that the caller holds are in memory.
 */
export async function* partsOf(
  body: Readable,
  partBytes: number,
  digests: Digests,
  signal: AbortSignal,
): AsyncGenerator<Part, undefined> {
  // A silent body cannot always be destroyed at once, but this stream can.
  const chunks = pipeline(body, new PassThrough({ objectMode: true, highWaterMark: 1 }), () => {})
  const stop = () => chunks.destroy(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  let pieces: Buffer[] = []
  let [start, position] = [0, 0]
  let number = 0

  let digest = digests.part(0, partBytes)

  function cut(last: boolean): Part {
    const part = { number: ++number, last, bytes: position - start, pieces, sha256: digest.hex() }
    pieces = []
    start = position
    digest = digests.part(start, partBytes)
    return part
  }

  try {
    for await (const chunk of chunks as AsyncIterable<Buffer>) {
      digests.whole.add(position, chunk)
      for (let taken = 0; taken < chunk.length; ) {
        // Cut only when more bytes arrive, so that the last part is marked as last.
        if (position - start === partBytes) yield cut(false)
        const piece = chunk.subarray(taken, taken + partBytes - (position - start))
        digest.add(position, piece)
        pieces.push(piece)
        position += piece.length
        taken += piece.length
      }
    }
    yield cut(true)
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function bodyOf({ pieces }: Part, limit: Limit | undefined): Readable {
  return Readable.from(limit ? paced(pieces, limit) : pieces, { objectMode: false })
}

async function* paced(pieces: readonly Buffer[], limit: Limit): AsyncGenerator<Buffer> {
  for (const piece of pieces) {
    await limit(piece.length)
    yield piece
  }
}

/**
 * Sends the request that creates a key until the outcome is certain. After a lost answer, a taken key (412)
 * or a missing upload (404), an earlier try may have succeeded: `isOurs` decides on the object found. Throws
 * KeyExists when the object is not ours.
 */
async function commit<T>(
  connection: Connection,
  key: string,
  ask: (s3: S3) => Promise<T>,
  isOurs: (found: Found) => boolean | Promise<boolean>,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const failure = await connection.once(`store ${key}`, ask).then(
      () => undefined,
      (error: S3Failure) => error,
    )
    if (failure === undefined) return
    if (!failure.transient && failure.status !== 412 && failure.code !== 'NoSuchUpload') throw failure
    const found = await lookUp(connection, key)
    if (found !== undefined) {
      if (await isOurs(found)) return
      throw new KeyExists(connection.name, key, { cause: failure })
    }
    if (!failure.transient || attempt >= connection.patience.attempts) throw failure
    await connection.pause(attempt, failure)
  }
}

/** What is needed to recognise a part on the server. */
export interface SentPart {
  number: number
  bytes: number
  /** Lower-case hex. */
  sha256: string
  etag: string
}

/**
 * Compares what the server holds with what was sent: everything up to `wholeUpTo` bytes, otherwise the size
 * and samples of about that many bytes. Throws a StoreError.
 */
async function readBack(
  connection: Connection,
  sent: Receipt,
  parts: SentPart[],
  wholeUpTo: number,
): Promise<void> {
  const { key, bytes, sha256 } = sent
  if (bytes <= wholeUpTo) {
    const stored = await sha256Of(await read(connection, key))
    if (stored !== sha256) throw mismatch(connection, key, 'another content')
    return
  }
  const found = await lookUp(connection, key)
  if (found === undefined) {
    throw new StoreError(
      `${connection.name}: ${key} is not there, although the server said it was: ${runAgain()}`,
    )
  }
  if (found.bytes !== bytes) throw mismatch(connection, key, `${found.bytes} bytes where ${bytes} were sent`)
  const differing = await firstDifference(connection, key, parts, wholeUpTo)
  if (differing !== undefined) throw mismatch(connection, key, `another content in part ${differing}`)
}

/** The number of the first sampled part that differs on the server, or undefined. */
export async function firstDifference(
  connection: Connection,
  key: string,
  parts: SentPart[],
  about: number,
): Promise<number | undefined> {
  const ordered = parts.toSorted((a, b) => a.number - b.number)
  const partBytes = ordered[0]?.bytes ?? 0
  for (const part of sample(ordered, Math.max(3, Math.floor(about / partBytes)))) {
    const start = (part.number - 1) * partBytes
    const stored = await sha256Of(await read(connection, key, { from: start, to: start + part.bytes }))
    if (stored !== part.sha256) return part.number
  }
  return undefined
}

/** The first, the last and random ones between them, in order. */
function sample<T>(items: T[], count: number): T[] {
  const chosen = new Set([0, items.length - 1])
  while (chosen.size < Math.min(count, items.length)) chosen.add(randomInt(items.length))
  return items.filter((_, index) => chosen.has(index))
}

function mismatch(connection: Connection, key: string, found: string): StoreError {
  return new StoreError(
    `${connection.name}: ${key} was read back and holds ${found}. It stays there without a record, so no restore ` +
      `uses it. Ask the provider why; to store the item under its next name, ${runAgain()}`,
  )
}
