import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** The content of the small S3 server: an index in memory, and files in one folder. */
export interface S3Objects {
  buckets: Map<string, Map<string, StoredObject>>
  uploads: Map<string, Upload>
  /** Writes a body to a new file and describes it. Throws the body's errors. */
  receive(body: Readable, onBytes?: (bytes: number) => void): Promise<Content>
  /** The bytes of an object from `start` to before `end`. */
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

/** All keys of a bucket, in S3's listing order. */
export function sortedKeys(objects: S3Objects, bucket: string): string[] {
  const held = objects.buckets.get(bucket) ?? new Map<string, StoredObject>()
  const known = sorted.get(held)
  if (known?.length === held.size) return known
  const keys = [...held.keys()].sort(inOrder)
  sorted.set(held, keys)
  return keys
}

/** Keys are never removed, so an equal count means equal keys. */
const sorted = new WeakMap<Map<string, StoredObject>, string[]>()

/** S3 lists by the bytes of the keys in UTF-8. */
export function inOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** Describes the content next to it, for a server that starts from a saved folder. */
const indexFile = 'index.json'

export function saveIndex(folder: string, { buckets }: S3Objects): void {
  const index = [...buckets].map(([name, objects]) => [name, [...objects]])
  writeFileSync(path.join(folder, indexFile), JSON.stringify(index))
}

/** Loads what `saveIndex` wrote, from wherever the content is now. */
export function loadIndex(folder: string, { buckets }: S3Objects): void {
  const index: [string, [string, StoredObject][]][] = JSON.parse(
    readFileSync(path.join(folder, indexFile), 'utf8'),
  )
  for (const [name, objects] of index)
    for (const [key, object] of objects) {
      const files = object.files.map(({ file, bytes }) => ({
        file: path.join(folder, path.basename(file)),
        bytes,
      }))
      buckets.get(name)?.set(key, { ...object, files, modified: new Date(object.modified) })
    }
}
