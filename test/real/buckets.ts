import { createHash } from 'node:crypto'
import { createWriteStream, mkdirSync } from 'node:fs'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import {
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import type { RealRequest, RealS3 } from '../servers/real-s3.ts'

/** What a server reports of an object. */
export interface Held {
  etag: string
  bytes: number
  /** ISO, UTC. */
  modified: string
}

/** A server's buckets as its owner sees them, without the code under test. */
export function ownerOf(server: RealS3) {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'
  const { endpoint, region, root } = server
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: root })

  const open = async (bucket: string, key: string) =>
    (await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))).Body as Readable

  return {
    /** By key, in order. */
    async list(bucket: string): Promise<Map<string, Held>> {
      const held = new Map<string, Held>()
      let ContinuationToken: string | undefined
      do {
        const page = await client.send(new ListObjectsV2Command({ Bucket: bucket, ContinuationToken }))
        for (const { Key = '', ETag = '', Size = 0, LastModified } of page.Contents ?? [])
          held.set(Key, { etag: ETag, bytes: Size, modified: LastModified?.toISOString() ?? '' })
        ContinuationToken = page.NextContinuationToken
      } while (ContinuationToken !== undefined)
      return held
    },
    async unfinished(bucket: string): Promise<string[]> {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
      return Uploads.map(({ Key = '' }) => Key)
    },
    async put(bucket: string, key: string, content: Buffer): Promise<void> {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: content }))
    },
    async sha256(bucket: string, key: string): Promise<string> {
      const hash = createHash('sha256')
      await pipeline(await open(bucket, key), hash)
      return hash.digest('hex')
    },
    /** Saves all objects of a bucket as files below a folder. */
    async download(bucket: string, folder: string): Promise<void> {
      for (const key of (await this.list(bucket)).keys()) {
        const file = path.join(folder, key)
        mkdirSync(path.dirname(file), { recursive: true })
        await pipeline(await open(bucket, key), createWriteStream(file))
      }
    },
    close: () => client.destroy(),
  }
}

/** Breaches of append-only in the server's own log: deletions of any kind, and keys written twice. */
export function breachesIn(log: readonly RealRequest[], bucketCount: number): string[] {
  const taken = log.filter(({ operation }) => /delete|abort|remove|copy|rename/i.test(operation))
  const counts = new Map<string, number>()
  for (const { key } of log.filter(isCommit)) counts.set(key, (counts.get(key) ?? 0) + 1)
  // The log does not name the bucket. Only the probe's key is in every bucket.
  const most = (key: string) => (key.endsWith('conditional-write-probe') ? bucketCount : 1)
  const twice = [...counts].filter(([key, count]) => count > most(key))
  return [
    ...taken.map(({ operation, key }) => `${operation} ${key}`),
    ...twice.map(([key, count]) => `${key} was written ${count} times`),
  ]
}

/** Whether the request gave a key its content. */
export function isCommit({ operation, status }: RealRequest): boolean {
  return /^(PutObject|CompleteMultipartUpload)$/.test(operation) && status === 200
}
