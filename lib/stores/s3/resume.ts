import { randomUUID } from 'node:crypto'
import { pipeline, type Readable, Transform } from 'node:stream'
import type { ListMultipartUploadsOutput } from '@aws-sdk/client-s3'
import { runAgain } from '../../text.ts'
import type { Digests } from '../digests.ts'
import { pool } from '../pool.ts'
import { type Receipt, StoreError } from '../store.ts'
import type { Connection } from './client.ts'
import { S3Failure } from './failure.ts'
import {
  createUpload,
  firstDifference,
  fittingPart,
  md5Of,
  type Part,
  partsOf,
  runIdKey,
  sendParts,
  type UploadOptions,
} from './upload.ts'

/** Content of known size that can be read again, such as a model file. */
export interface Source {
  bytes: number
  open(): Readable
}

export interface ResumeOptions {
  /** Called per part: `sent` by this call, or `found` on the server and equal. */
  onBytes?(bytes: number, how: 'sent' | 'found'): void
  /** Shared with the other stores that receive the same content. */
  digests?: Digests
  /** Overrides the store's own. */
  partBytes?: number
}

/**
 * Creates a key from a source larger than one part, and resumes an unfinished upload of that key. Reads the
 * whole source in order. Does not send parts that are on the server with the same size and MD5.
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
  const uploadId = unfinished?.uploadId ?? (await createUpload(connection, key, { [runIdKey]: runId }))
  const jobs = pool(options.concurrency)
  const parts = partsOf(contentOf(source, key), partBytes, digests, jobs.signal)
  return sendParts(connection, key, uploadId, { parts, digests, jobs }, options, {
    // An earlier process began the upload, so it carries that run id. Compare the content instead.
    isOurs: async (object, sent) =>
      object.metadata[runIdKey] === runId ||
      (unfinished !== undefined &&
        object.bytes === source.bytes &&
        (await firstDifference(connection, key, sent, options.readBackBytes)) === undefined),
    there(part) {
      const { number, bytes, sha256 } = part
      const listed = unfinished?.parts.get(number)
      // Not the part itself: it would keep its content in memory.
      return listed && isEqual(listed, part) ? { number, bytes, sha256, etag: listed.etag } : undefined
    },
    onBytes: options.onBytes,
  })
}

/** The content of a source. The stream fails when its length is not `source.bytes`. */
export function contentOf(source: Source, key: string): Readable {
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
          `the source of ${key} changed while it was read, ${change}: nothing was stored. When it no longer changes, ${runAgain()}`,
        ),
      )
    },
  })
  return pipeline(source.open(), counted, () => {})
}

interface ListedPart {
  bytes: number
  etag: string
}

/** A multipart upload that was started and not completed. */
export interface Unfinished {
  key: string
  begun: Date
  /** The total size of its parts on the server. */
  bytes: number
}

interface FoundUpload extends Unfinished {
  uploadId: string
  parts: Map<number, ListedPart>
}

/** If there are several for the key, the one with the most parts. */
async function findUnfinished(connection: Connection, key: string): Promise<FoundUpload | undefined> {
  const found: FoundUpload[] = []
  for await (const upload of unfinishedUploads(connection, key)) if (upload.key === key) found.push(upload)
  return found.toSorted((a, b) => b.parts.size - a.parts.size)[0]
}

/** Every unfinished upload of a key that starts with `prefix`. */
export async function* unfinishedUploads(
  connection: Connection,
  prefix: string,
): AsyncGenerator<FoundUpload> {
  let markers: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {}
  while (markers !== undefined) {
    const after = markers
    const page: ListMultipartUploadsOutput = await connection.request(
      `list the unfinished uploads of ${prefix || 'all objects'}`,
      ({ client, sdk }) =>
        client.send(
          new sdk.ListMultipartUploadsCommand({
            Bucket: connection.bucket,
            Prefix: connection.path(prefix),
            ...after,
          }),
        ),
    )
    for (const { Key, UploadId, Initiated = new Date(0) } of page.Uploads ?? []) {
      if (!Key?.startsWith(connection.path(prefix)) || UploadId === undefined) continue
      const key = Key.slice(connection.path('').length)
      const parts = await listParts(connection, key, UploadId)
      if (parts === undefined) continue
      const bytes = [...parts.values()].reduce((sum, part) => sum + part.bytes, 0)
      yield { key, begun: Initiated, bytes, uploadId: UploadId, parts }
    }
    markers = page.IsTruncated
      ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
      : undefined
  }
}

/** Undefined when the upload has expired. */
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

/** The ETag of a part is its MD5 on R2 and most servers. If it is not, the part is sent again. */
function isEqual(there: ListedPart, part: Part): boolean {
  return there.bytes === part.bytes && there.etag.replaceAll('"', '') === md5Of(part).toString('hex')
}
