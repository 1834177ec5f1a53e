import type { Readable } from 'node:stream'
import { type Digests, makeDigests } from '../digests.ts'
import type { Limit } from '../pool.ts'
import { type AppendOnlyStore, KeyExists, type Receipt, severalConnections } from '../store.ts'
import { connect, type S3Access } from './client.ts'
import { listAll, listPage, lookUp } from './lookup.ts'
import { read } from './read.ts'
import {
  contentOf,
  type ResumeOptions,
  resumeUpload,
  type Source,
  type Unfinished,
  unfinishedUploads,
} from './resume.ts'
import { honoursConditions, probeFolder, refusesDamage, tryWrite } from './trust.ts'
import { fittingPart, runIdKey, upload } from './upload.ts'

export interface S3Options extends S3Access {
  /** Smallest part, and largest single request. Default 16 MiB: 156 GiB in 10,000 parts. */
  partBytes?: number
  /** Parts in flight per upload, each held in memory. Default 3, said to be R2's limit. */
  concurrency?: number
  /** Up to this size content is read back whole. Larger content is sampled, about this many bytes. */
  readBackBytes?: number
  limit?: Limit | undefined
}

export interface S3Store extends AppendOnlyStore {
  /** As `create`, for large files. Does not resend what an interrupted call sent already. */
  createFrom(key: string, source: Source, options?: ResumeOptions): Promise<Receipt>
  /** Whether this software created the object. */
  isOwn(key: string): Promise<boolean>
  /** Unfinished uploads. Their parts take up space and cost money until the server expires them. */
  unfinished(): AsyncIterable<Unfinished>
  /** Throws a StoreError when nothing can be written. May write one small object to find out. */
  tryWrite(): Promise<void>
  close(): Promise<void>
}

/**
 * A bucket of an S3 server to which objects can only be added. Every failure is a StoreError that says what
 * to do, except errors of a body, which pass through. When `create` fails, it destroys the body.
 */
export function s3Store(options: S3Options): S3Store {
  const connection = connect(options)
  const { partBytes = 16 * 2 ** 20, concurrency = 3, readBackBytes = 64 * 2 ** 20, limit } = options
  let refuses: Promise<boolean> | undefined
  const uploads = {
    partBytes,
    concurrency,
    readBackBytes,
    limit,
    // If in doubt, assume that the server does not refuse damage.
    refusesDamage: () => {
      refuses ??= refusesDamage(connection, 'signature').catch(() => false)
      return refuses
    },
  }
  let conditional: Promise<boolean> | undefined
  let away = false

  async function mayCreate(key: string): Promise<void> {
    if ((await lookUp(connection, key)) !== undefined) throw new KeyExists(connection.name, key)
  }

  async function create(key: string, body: Readable, digests: Digests, expectedBytes = 0): Promise<Receipt> {
    // The read throws this error.
    body.once('error', () => {})
    try {
      await mayCreate(key)
      return await upload(connection, key, body, digests, {
        ...uploads,
        partBytes: fittingPart(expectedBytes, partBytes),
      })
    } catch (error) {
      body.destroy()
      throw error
    }
  }

  return {
    name: connection.name,

    async probe() {
      // After a failure ask once, without retries: the item's other stores wait for the answer.
      const asked = away ? { ...connection, request: connection.once } : connection
      away = true
      await listPage(asked, '', { atMost: 1 })
      away = false
      conditional ??= honoursConditions(connection)
      const honoured = await conditional.catch((error) => {
        conditional = undefined
        throw error
      })
      return honoured ? {} : { warning: overwrites(connection.name) }
    },

    async look() {
      await listPage(connection, '', { atMost: 1 })
      return {}
    },

    async *list(prefix, { after } = {}) {
      for await (const entry of listAll(connection, prefix, after)) {
        if (!entry.key.startsWith(probeFolder)) yield entry
      }
    },

    open: (key, from = 0, connections = 1) => read(connection, key, { from, connections }),

    openPastCache: (key) => read(connection, key, { connections: severalConnections }),

    create: (key, body, digests = makeDigests(), expectedBytes = 0) =>
      create(key, body, digests, expectedBytes),

    async createFrom(key, source, resume = {}) {
      const { digests = makeDigests(), onBytes } = resume
      if (source.bytes <= partBytes) {
        const receipt = await create(key, contentOf(source, key), digests)
        onBytes?.(receipt.bytes, 'sent')
        return receipt
      }
      await mayCreate(key)
      return resumeUpload(connection, key, source, digests, { ...uploads, ...resume })
    },

    async isOwn(key) {
      return (await lookUp(connection, key))?.metadata[runIdKey] !== undefined
    },

    unfinished: () => unfinishedUploads(connection, ''),

    tryWrite: () => tryWrite(connection),

    close: () => connection.close(),
  }
}

/** Keys are looked up before a write, so only a race for one key can overwrite. */
function overwrites(name: string): string {
  return (
    `${name}: the server ignores conditional writes (If-None-Match): if two runs store the same name at once, one ` +
    `overwrites the other. Back up to it from one machine only, lock the bucket, or choose a provider that honours them`
  )
}
