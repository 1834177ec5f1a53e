import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** What the small S3 server holds: its index in memory, all content in files of one folder. */
export interface S3Objects {
  buckets: Map<string, Map<string, StoredObject>>
  uploads: Map<string, Upload>
  /** Writes a body to a new file and returns what it holds. Throws what the body throws. */
  receive(body: Readable, onBytes?: (bytes: number) => void): Promise<Content>
  /** The bytes of an object from `start` on, up to and without `end`. */
  read(object: StoredObject, start: number, end: number): Readable
}

export interface Content {
  file: string
  bytes: number
  md5: Buffer
  sha256: Buffer
}

export interface StoredObject {
  /** In order. */
  files: { file: string; bytes: number }[]
  bytes: number
  etag: string
  modified: Date
  metadata: Record<string, string>
}

export interface Upload {
  id: string
  bucket: string
  key: string
  started: Date
  metadata: Record<string, string>
  parts: Map<number, Content>
}

export function s3Objects(folder: string, bucketNames: string[]): S3Objects {
  return {
    buckets: new Map(bucketNames.map((name) => [name, new Map()])),
    uploads: new Map(),

    async receive(body, onBytes) {
      const file = path.join(folder, randomBytes(12).toString('hex'))
      const md5 = createHash('md5')
      const sha256 = createHash('sha256')
      let bytes = 0
      async function* counted(chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          bytes += chunk.length
          onBytes?.(chunk.length)
          md5.update(chunk)
          sha256.update(chunk)
          yield chunk
        }
      }
      try {
        await pipeline(body, counted, createWriteStream(file))
      } catch (error) {
        await rm(file, { force: true })
        throw error
      }
      return { file, bytes, md5: md5.digest(), sha256: sha256.digest() }
    },

    read(object, start, end) {
      async function* bytes() {
        let position = 0
        for (const part of object.files) {
          const from = Math.max(start - position, 0)
          const to = Math.min(end - position, part.bytes)
          if (from < to) yield* createReadStream(part.file, { start: from, end: to - 1 })
          position += part.bytes
        }
      }
      return Readable.from(bytes(), { objectMode: false })
    },
  }
}

/** Every key of a bucket, in the order in which S3 lists. */
export function sortedKeys(objects: S3Objects, bucket: string): string[] {
  return [...(objects.buckets.get(bucket)?.keys() ?? [])].sort(inOrder)
}

/** S3 lists by the bytes of the keys in UTF-8. */
export function inOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
