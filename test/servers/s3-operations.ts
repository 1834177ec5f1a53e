import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import {
  type Content,
  inOrder,
  type S3Objects,
  type StoredObject,
  sortedKeys,
  type Upload,
} from './s3-objects.ts'
import { Refusal, type Request, reply } from './s3-request.ts'
import { xml } from './s3-xml.ts'

/** How this server differs from the usual one. */
export interface Manner {
  /** The minimum size of all parts but the last. Real servers: 5 MiB. */
  minPartBytes?: number
  /** Overwrites despite a condition. */
  ignoresConditions?: boolean
  /** Does not support If-None-Match on CreateMultipartUpload. */
  refusesConditionalCreation?: boolean
  /** Stores content that does not match its Content-MD5. */
  ignoresMd5?: boolean
  /** Stores content that does not match its signature. */
  ignoresPayloadDigest?: boolean
  /** Always returns whole objects. */
  ignoresRanges?: boolean
}

type Operation = (request: Request, objects: S3Objects, manner: Manner & { now(): Date }) => Promise<void>

export const operations: Record<string, Operation> = {
  async ListObjectsV2(request, objects) {
    const { bucket, query } = request
    const token = query['continuation-token']
    const after = token === undefined ? (query['start-after'] ?? '') : Buffer.from(token, 'base64').toString()
    const most = Math.min(Number(query['max-keys'] ?? 1000), 1000)
    const keys = sortedKeys(objects, bucket).filter(
      (key) => key.startsWith(query.prefix ?? '') && (after === '' || inOrder(after, key) < 0),
    )
    const page = keys.slice(0, most)
    const isTruncated = keys.length > page.length
    const next = Buffer.from(page.at(-1) ?? '').toString('base64')
    await reply(
      request,
      xml('ListBucketResult', {
        Name: bucket,
        KeyCount: page.length,
        IsTruncated: isTruncated,
        ...(isTruncated && { NextContinuationToken: next }),
        Contents: page.map((key) => {
          const object = objectAt(objects, bucket, key)
          return {
            Key: key,
            Size: object.bytes,
            ETag: object.etag,
            LastModified: object.modified.toISOString(),
          }
        }),
      }),
    )
  },

  async HeadObject(request, objects) {
    const object = objectAt(objects, request.bucket, request.key)
    request.to.writeHead(200, { ...headersOf(object), 'content-length': object.bytes })
    request.status = 200
    request.to.end()
  },

  async GetObject(request, objects, manner) {
    const { headers, to, fault } = request
    const object = objectAt(objects, request.bucket, request.key)
    if (headers['if-match'] !== undefined && headers['if-match'] !== object.etag)
      throw new Refusal(412, 'PreconditionFailed')
    const range = manner.ignoresRanges ? undefined : (headers.range as string | undefined)
    const [start, end] = rangeOf(range, object.bytes)
    request.status = range === undefined ? 200 : 206
    to.writeHead(request.status, {
      ...headersOf(object),
      'content-length': end - start,
      ...(request.status === 206 && { 'content-range': `bytes ${start}-${end - 1}/${object.bytes}` }),
    })
    const middle = Math.floor((start + end) / 2)
    if (fault === 'half' || fault === 'stall') {
      await pipeline(objects.read(object, start, middle), to, { end: false })
      if (fault === 'half') to.destroy()
    } else if (fault === 'flipped bit') {
      const content = await buffer(objects.read(object, start, end))
      content[middle - start] = (content[middle - start] ?? 0) ^ 1
      to.end(content)
    } else {
      await pipeline(objects.read(object, start, end), to)
    }
  },

  async PutObject(request, objects, manner) {
    const { bucket, key } = request
    const content = await receive(request, objects, manner)
    refuseWhenTaken(request, objects, manner)
    const etag = `"${content.md5.toString('hex')}"`
    objects.buckets.get(bucket)?.set(key, {
      files: [content],
      bytes: content.bytes,
      etag,
      modified: manner.now(),
      metadata: metadataOf(request),
    })
    await reply(request, '', { etag })
  },

  async CreateMultipartUpload(request, objects, manner) {
    const { bucket, key } = request
    await receive(request, objects)
    if (manner.refusesConditionalCreation && request.headers['if-none-match'] !== undefined)
      throw new Refusal(501, 'NotImplemented')
    refuseWhenTaken(request, objects, manner)
    const id = randomUUID()
    const metadata = metadataOf(request)
    objects.uploads.set(id, { id, bucket, key, started: manner.now(), metadata, parts: new Map() })
    await reply(request, xml('InitiateMultipartUploadResult', { Bucket: bucket, Key: key, UploadId: id }))
  },

  async UploadPart(request, objects) {
    const content = await receive(request, objects)
    const { parts } = uploadOf(request, objects)
    const number = Number(request.query.partNumber)
    if (!(number >= 1 && number <= 10_000)) throw new Refusal(400, 'InvalidArgument')
    const former = parts.get(number)
    parts.set(number, content)
    if (former !== undefined) await rm(former.file)
    await reply(request, '', { etag: `"${content.md5.toString('hex')}"` })
  },

  async CompleteMultipartUpload(request, objects, manner) {
    const { bucket, key } = request
    const body = (await receiveText(request)) ?? ''
    const upload = uploadOf(request, objects)
    const parts = partsAsked(body, upload)
    checkSizes(parts, manner.minPartBytes ?? 5 * 2 ** 20)
    refuseWhenTaken(request, objects, manner)
    // Not made from MD5s, like R2's.
    const etag = `"${randomBytes(16).toString('hex')}-${parts.length}"`
    objects.buckets.get(bucket)?.set(key, {
      files: parts,
      bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
      etag,
      modified: manner.now(),
      metadata: upload.metadata,
    })
    objects.uploads.delete(upload.id)
    await reply(request, xml('CompleteMultipartUploadResult', { Bucket: bucket, Key: key, ETag: etag }))
  },

  async ListMultipartUploads(request, objects) {
    const { bucket, query } = request
    const uploads = [...objects.uploads.values()].filter(
      (upload) => upload.bucket === bucket && upload.key.startsWith(query.prefix ?? ''),
    )
    await reply(
      request,
      xml('ListMultipartUploadsResult', {
        Bucket: bucket,
        IsTruncated: false,
        Upload: uploads.map(({ key, id, started }) => ({
          Key: key,
          UploadId: id,
          Initiated: started.toISOString(),
        })),
      }),
    )
  },

  async ListParts(request, objects) {
    const { parts } = uploadOf(request, objects)
    const marker = Number(request.query['part-number-marker'] ?? 0)
    const numbers = [...parts.keys()].filter((number) => number > marker).sort((a, b) => a - b)
    const page = numbers.slice(0, 1000)
    await reply(
      request,
      xml('ListPartsResult', {
        UploadId: request.query.uploadId ?? '',
        IsTruncated: numbers.length > page.length,
        NextPartNumberMarker: page.at(-1) ?? 0,
        Part: page.map((number) => {
          const part = parts.get(number) as Content
          return { PartNumber: number, Size: part.bytes, ETag: `"${part.md5.toString('hex')}"` }
        }),
      }),
    )
  },
}

/** Saves the body to a file and checks it against all the headers. */
async function receive(request: Request, objects: S3Objects, manner: Manner = {}): Promise<Content> {
  const { headers } = request
  refuseUnsigned(headers)
  const content = await objects.receive(request.from, (bytes) => {
    request.bytes += bytes
  })
  const wrong =
    !manner.ignoresPayloadDigest && content.sha256.toString('hex') !== headers['x-amz-content-sha256']
      ? 'XAmzContentSHA256Mismatch'
      : (!manner.ignoresMd5 && differs(headers['content-md5'], content.md5)) ||
          differs(headers['x-amz-checksum-sha256'], content.sha256)
        ? 'BadDigest'
        : undefined
  if (wrong !== undefined) {
    await rm(content.file)
    throw new Refusal(400, wrong)
  }
  return content
}

async function receiveText(request: Request): Promise<string> {
  refuseUnsigned(request.headers)
  const body = await buffer(request.from)
  if (createHash('sha256').update(body).digest('hex') !== request.headers['x-amz-content-sha256'])
    throw new Refusal(400, 'XAmzContentSHA256Mismatch')
  return body.toString()
}

/** Like Hetzner and R2: the payload must be signed, and not sent in aws-chunked pieces. */
function refuseUnsigned(headers: Request['headers']): void {
  const isPlain = /^[0-9a-f]{64}$/.test(String(headers['x-amz-content-sha256']))
  if (!isPlain || headers['content-encoding'] !== undefined || headers['x-amz-trailer'] !== undefined)
    throw new Refusal(501, 'NotImplemented')
}

function differs(header: string | string[] | undefined, digest: Buffer): boolean {
  return header !== undefined && header !== digest.toString('base64')
}

function refuseWhenTaken(request: Request, objects: S3Objects, manner: Manner): void {
  if (manner.ignoresConditions || request.fault === 'ignored condition') return
  const isTaken = objects.buckets.get(request.bucket)?.has(request.key)
  if (isTaken && request.headers['if-none-match'] === '*') throw new Refusal(412, 'PreconditionFailed')
}

function objectAt(objects: S3Objects, bucket: string, key: string): StoredObject {
  const object = objects.buckets.get(bucket)?.get(key)
  if (object === undefined) throw new Refusal(404, 'NoSuchKey')
  return object
}

function uploadOf(request: Request, objects: S3Objects): Upload {
  const upload = objects.uploads.get(request.query.uploadId ?? '')
  if (upload?.key !== request.key) throw new Refusal(404, 'NoSuchUpload')
  return upload
}

function partsAsked(body: string, upload: Upload): Content[] {
  return [...body.matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, part = '']) => {
    const number = Number(part.match(/<PartNumber>(\d+)</)?.[1])
    const etag = part
      .match(/<ETag>(.*?)</)?.[1]
      ?.replaceAll('&quot;', '')
      .replaceAll('"', '')
    const found = upload.parts.get(number)
    if (found?.md5.toString('hex') !== etag) throw new Refusal(400, 'InvalidPart')
    return found as Content
  })
}

/** R2: all parts have the same size, except a smaller last one; reported only at completion. */
function checkSizes(parts: Content[], minPartBytes: number): void {
  const size = parts[0]?.bytes ?? 0
  const last = parts.at(-1)?.bytes ?? 0
  if (parts.length === 0 || parts.slice(0, -1).some((part) => part.bytes !== size) || last > size)
    throw new Refusal(400, 'InvalidPart')
  if (parts.length > 1 && size < minPartBytes) throw new Refusal(400, 'EntityTooSmall')
}

function metadataOf(request: Request): Record<string, string> {
  const named = Object.entries(request.headers).filter(([name]) => name.startsWith('x-amz-meta-'))
  return Object.fromEntries(named.map(([name, value]) => [name, String(value)]))
}

function headersOf(object: StoredObject): Record<string, string> {
  const { etag, modified, metadata } = object
  return { etag, 'last-modified': modified.toUTCString(), 'accept-ranges': 'bytes', ...metadata }
}

function rangeOf(header: string | undefined, bytes: number): [number, number] {
  if (header === undefined) return [0, bytes]
  const [, from = '0', to = ''] = header.match(/^bytes=(\d+)-(\d*)$/) ?? []
  const start = Number(from)
  if (start >= bytes) throw new Refusal(416, 'InvalidRange')
  return [start, to === '' ? bytes : Math.min(Number(to) + 1, bytes)]
}
