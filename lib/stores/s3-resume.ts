import { randomUUID } from 'node:crypto'
import { pipeline, type Readable, Transform } from 'node:stream'
import type { ListMultipartUploadsOutput } from '@aws-sdk/client-s3'
import { letGo } from '../blocks.ts'
import type { Digests } from './digests.ts'
import type { Connection } from './s3-client.ts'
import { S3Failure } from './s3-failure.ts'
import { lanes } from './s3-lanes.ts'
import type { Found } from './s3-lookup.ts'
import { type Part, partsOf } from './s3-parts.ts'
import { firstDifference, readBack, type SentPart } from './s3-read-back.ts'
import {
  completeUpload,
  createUpload,
  md5Of,
  mostParts,
  runIdKey,
  sendPart,
  type UploadOptions,
} from './s3-upload.ts'
import { type Receipt, StoreError } from './store.ts'

/** Content of known size that can be read again, such as a model file. */
export interface Source {
  bytes: number
  /** The bytes from `from` on, up to and without `to`. */
  open(from: number, to: number): Readable | Promise<Readable>
}

export interface ResumeOptions {
  /** Given the bytes of each part that is now on the server: `sent` by this call, or `found` there and equal. */
  onBytes?(bytes: number, how: 'sent' | 'found'): void
  metadata?: Record<string, string>
  /** Where other stores take in the same content meanwhile. */
  digests?: Digests
  /** In the place of the store's own. */
  partBytes?: number
}

/**
 * Creates a key from a source that is larger than one part, taking up an unfinished upload of the same key:
 * the source is read whole and in order, and a part that lies there with the same size and MD5 is not sent again.
 */
export async function resumeUpload(
  connection: Connection,
  key: string,
  source: Source,
  digests: Digests,
  options: UploadOptions & ResumeOptions,
): Promise<Receipt> {
  const partBytes = fittingPart(source.bytes, options.partBytes)
  const unfinished = await findUnfinished(connection, key)
  const runId = randomUUID()
  const uploadId =
    unfinished?.uploadId ?? (await createUpload(connection, key, { ...options.metadata, [runIdKey]: runId }))

  const refuses = await options.refusesDamage()
  const jobs = lanes(options.concurrency)
  const parts = partsOf(await contentOf(source, key), partBytes, digests, jobs.signal)
  const sent: SentPart[] = []
  try {
    for await (const part of parts) {
      await jobs.add(async () => {
        const there = unfinished?.parts.get(part.number)
        const found = there !== undefined && isEqual(there, part)
        sent.push(
          found ? asSent(there, part) : await sendPart(connection, key, uploadId, part, refuses, jobs.signal),
        )
        letGo(part.pieces)
        options.onBytes?.(part.bytes, found ? 'found' : 'sent')
      })
    }
    await jobs.done()
  } catch (error) {
    await jobs.cancel(error)
    throw error
  }

  // An upload that an earlier process began carries that one's run id: then the content itself is compared.
  const isOurs = async (object: Found) =>
    object.metadata[runIdKey] === runId ||
    (unfinished !== undefined &&
      object.bytes === source.bytes &&
      (await firstDifference(connection, key, sent, options.readBackBytes)) === undefined)
  await completeUpload(connection, key, uploadId, sent, isOurs)
  const receipt = { key, bytes: source.bytes, sha256: digests.whole.hex() }
  await readBack(connection, receipt, sent, options.readBackBytes)
  return receipt
}

/** All of a source, or an error when it is not as long as it was said to be. */
export async function contentOf(source: Source, key: string): Promise<Readable> {
  let bytes = 0
  const counted = new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length
      done(null, chunk)
    },
    flush(done) {
      if (bytes === source.bytes) return done()
      const change = `from ${source.bytes} to ${bytes} bytes`
      done(
        new StoreError(
          `the source of ${key} changed while it was read, ${change}: nothing was stored; run again when it rests`,
        ),
      )
    },
  })
  return pipeline(await source.open(0, source.bytes), counted, () => {})
}

/** The size of all parts but the last: as set, or as many whole MiB as keep the count within what a server takes. */
function fittingPart(bytes: number, partBytes: number): number {
  if (bytes <= partBytes * mostParts) return partBytes
  return Math.ceil(bytes / mostParts / 2 ** 20) * 2 ** 20
}

interface ListedPart {
  bytes: number
  etag: string
}

interface Unfinished {
  uploadId: string
  parts: Map<number, ListedPart>
}

/** Of several unfinished uploads of the key, the one with the most parts. */
async function findUnfinished(connection: Connection, key: string): Promise<Unfinished | undefined> {
  const found: Unfinished[] = []
  for await (const uploadId of unfinishedUploads(connection, key)) {
    const parts = await listParts(connection, key, uploadId)
    if (parts !== undefined) found.push({ uploadId, parts })
  }
  return found.toSorted((a, b) => b.parts.size - a.parts.size)[0]
}

async function* unfinishedUploads(connection: Connection, key: string): AsyncGenerator<string> {
  let markers: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {}
  while (markers !== undefined) {
    const after = markers
    const page: ListMultipartUploadsOutput = await connection.request(
      `list the unfinished uploads of ${key}`,
      ({ client, sdk }) =>
        client.send(
          new sdk.ListMultipartUploadsCommand({
            Bucket: connection.bucket,
            Prefix: connection.path(key),
            ...after,
          }),
        ),
    )
    for (const { Key, UploadId } of page.Uploads ?? []) {
      if (Key === connection.path(key) && UploadId !== undefined) yield UploadId
    }
    markers = page.IsTruncated
      ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
      : undefined
  }
}

/** Undefined when the upload has expired meanwhile. */
async function listParts(
  connection: Connection,
  key: string,
  uploadId: string,
): Promise<Map<number, ListedPart> | undefined> {
  const parts = new Map<number, ListedPart>()
  let marker: string | undefined
  try {
    do {
      const page = await connection.request(`list the parts of ${key}`, ({ client, sdk }) =>
        client.send(
          new sdk.ListPartsCommand({
            Bucket: connection.bucket,
            Key: connection.path(key),
            UploadId: uploadId,
            PartNumberMarker: marker,
          }),
        ),
      )
      for (const { PartNumber, Size, ETag } of page.Parts ?? []) {
        parts.set(PartNumber ?? 0, { bytes: Size ?? 0, etag: ETag ?? '' })
      }
      marker = page.IsTruncated ? page.NextPartNumberMarker : undefined
    } while (marker !== undefined)
    return parts
  } catch (error) {
    if (error instanceof S3Failure && error.code === 'NoSuchUpload') return undefined
    throw error
  }
}

/** The ETag of a part is the MD5 of its content, on R2 and on most servers; where it is not, the part is sent again. */
function isEqual(there: ListedPart, part: Part): boolean {
  return there.bytes === part.bytes && there.etag.replaceAll('"', '') === md5Of(part).toString('hex')
}

function asSent(there: ListedPart, part: Part): SentPart {
  return { number: part.number, bytes: there.bytes, sha256: part.sha256, etag: there.etag }
}
