import { createHash, randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { letGo } from '../blocks.ts'
import type { Digests } from './digests.ts'
import type { Connection, S3 } from './s3-client.ts'
import { commit } from './s3-commit.ts'
import { S3Failure } from './s3-failure.ts'
import { setHeader, signedDigest } from './s3-header.ts'
import { lanes } from './s3-lanes.ts'
import { type Found, lookUp } from './s3-lookup.ts'
import { bodyOf, type Part, partsOf } from './s3-parts.ts'
import { readBack, type SentPart } from './s3-read-back.ts'
import { KeyExists, type Receipt, StoreError } from './store.ts'

export interface UploadOptions {
  partBytes: number
  /** Parts on their way at once. */
  concurrency: number
  /** Content up to this size is read back whole, larger content in samples of about as much. */
  readBackBytes: number
  /** Whether the server refuses a part that is not what was signed. Asked before the first part of an upload. */
  refusesDamage(): Promise<boolean>
}

/** What an S3 server takes in one multipart upload. */
export const mostParts = 10_000

/** Metadata of every object: which call created it. It settles whether an object is ours after an answer was lost. */
export const runIdKey = 'run-id'

/**
 * Creates a key from a body of unknown length: in one request when it is no longer than a part, else in
 * parts of equal size. Throws KeyExists, and what the body throws; then the key stays as it was.
 */
export async function upload(
  connection: Connection,
  key: string,
  body: Readable,
  digests: Digests,
  options: UploadOptions & { metadata: Record<string, string> },
): Promise<Receipt> {
  const runId = randomUUID()
  const metadata = { ...options.metadata, [runIdKey]: runId }
  const isOurs = (found: Found) => found.metadata[runIdKey] === runId
  const jobs = lanes(options.concurrency)
  const parts = partsOf(body, options.partBytes, digests, jobs.signal)

  const { value: first } = await parts.next()
  if (first === undefined) throw new StoreError(`${connection.name}: ${key} has no content`)
  if (first.last) {
    const { bytes, sha256 } = first
    await putObject(connection, key, first, { ...metadata, sha256 }, isOurs)
    const receipt = { key, bytes, sha256 }
    await readBack(connection, receipt, [], options.readBackBytes)
    return receipt
  }

  const refuses = await options.refusesDamage()
  const uploadId = await createUpload(connection, key, metadata)
  const sent: SentPart[] = []
  try {
    for await (const part of startingWith(first, parts)) {
      if (part.number > mostParts) throw tooManyParts(connection, key, options.partBytes)
      await jobs.add(async () => {
        sent.push(await sendPart(connection, key, uploadId, part, refuses, jobs.signal))
        letGo(part.pieces)
      })
    }
    await jobs.done()
  } catch (error) {
    await jobs.cancel(error)
    throw error
  }
  const receipt = { key, bytes: sent.reduce((sum, part) => sum + part.bytes, 0), sha256: digests.whole.hex() }
  await completeUpload(connection, key, uploadId, sent, isOurs)
  await readBack(connection, receipt, sent, options.readBackBytes)
  return receipt
}

/** Every write is conditional, and the payload of each is signed and its MD5 sent along: a damaged one is refused. */
async function putObject(
  connection: Connection,
  key: string,
  part: Part,
  metadata: Record<string, string>,
  isOurs: (found: Found) => boolean,
): Promise<void> {
  const md5 = md5Of(part).toString('base64')
  const ask = ({ client, sdk }: S3) => {
    const command = new sdk.PutObjectCommand({
      Bucket: connection.bucket,
      Key: connection.path(key),
      Body: bodyOf(part),
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
 * Returns the upload id. The condition is sent here too, so that a taken key is refused before its parts are sent;
 * a server that does not know it here (400, 501) is asked again without: it is sent once more on completion.
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
 * Sends one part, with its SHA-256 signed. Where the server does not refuse what differs from that (`refuses`), its MD5 goes along, which it
 * may know: that costs more than all else that is done with a part here.
 */
export async function sendPart(
  connection: Connection,
  key: string,
  uploadId: string,
  part: Part,
  refuses: boolean,
  signal: AbortSignal,
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
        Body: bodyOf(part),
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

/** The key is looked up once more before: while a large body was on its way, somebody else may have taken it. */
export async function completeUpload(
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
    `${connection.name}: ${key} is larger than ${mostParts} parts of ${partBytes} bytes: set larger parts, or split the item`,
  )
}
