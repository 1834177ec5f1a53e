import type { Readable } from 'node:stream'
import { type Digests, makeDigests } from './digests.ts'
import { connect, type S3Access } from './s3-client.ts'
import { honoursConditions, probeFolder } from './s3-condition.ts'
import { refusesDamage } from './s3-damage.ts'
import { listAll, listPage, lookUp } from './s3-lookup.ts'
import { read } from './s3-read.ts'
import { contentOf, type ResumeOptions, resumeUpload, type Source } from './s3-resume.ts'
import { runIdKey, upload } from './s3-upload.ts'
import { type AppendOnlyStore, KeyExists, type Receipt, severalConnections } from './store.ts'

export interface S3Options extends S3Access {
  /** Size of a part, and the most that is sent in one request. 16 MiB: 156 GiB in 10,000 parts. */
  partBytes?: number
  /** Parts of one upload on their way at once. 3, which is said to be what R2 bears; each is kept in memory. */
  concurrency?: number
  /** Content up to this size is read back whole, larger content in samples of about as much. */
  readBackBytes?: number
}

export interface S3Store extends AppendOnlyStore {
  /** As `create`, for large files: what an interrupted call had sent already is compared and not sent again. */
  createFrom(key: string, source: Source, options?: ResumeOptions): Promise<Receipt>
  /** Whether an object was created by this software, and not by another hand. */
  isOwn(key: string): Promise<boolean>
  close(): Promise<void>
}

/**
 * A bucket of an S3 server to which objects can only be added. Every failure is a StoreError that names the store and
 * says what to do, but for what a body throws, which is passed on. A body is destroyed when its creation fails.
 */
export function s3Store(options: S3Options): S3Store {
  const connection = connect(options)
  const { partBytes = 16 * 2 ** 20, concurrency = 3, readBackBytes = 64 * 2 ** 20 } = options
  let refuses: Promise<boolean> | undefined
  const uploads = {
    partBytes,
    concurrency,
    readBackBytes,
    // Where it cannot be found out, it is taken for a server that does not.
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

  async function create(key: string, body: Readable, digests: Digests, metadata = {}): Promise<Receipt> {
    // What breaks the body before it is read is thrown when it is read.
    body.once('error', () => {})
    try {
      await mayCreate(key)
      return await upload(connection, key, body, digests, { ...uploads, metadata })
    } catch (error) {
      body.destroy()
      throw error
    }
  }

  return {
    name: connection.name,

    async probe() {
      // One that was away a moment ago is asked once, not patiently again: an item's other stores wait for the answer.
      const asked = away ? { ...connection, request: connection.once } : connection
      away = true
      await listPage(asked, '', undefined, 1)
      away = false
      conditional ??= honoursConditions(connection)
      const honoured = await conditional.catch((error) => {
        conditional = undefined
        throw error
      })
      return honoured ? {} : { warning: overwrites(connection.name) }
    },

    async look() {
      await listPage(connection, '', undefined, 1)
      return {}
    },

    async *list(prefix) {
      for await (const entry of listAll(connection, prefix)) {
        if (!entry.key.startsWith(probeFolder)) yield entry
      }
    },

    open: (key, from = 0, connections = 1) => read(connection, key, { from, connections }),

    openPastCache: (key) => read(connection, key, { connections: severalConnections }),

    create: (key, body, digests = makeDigests()) => create(key, body, digests),

    async createFrom(key, source, resume = {}) {
      const { digests = makeDigests(), metadata, onBytes } = resume
      if (source.bytes <= partBytes) {
        const receipt = await create(key, await contentOf(source, key), digests, metadata)
        onBytes?.(receipt.bytes, 'sent')
        return receipt
      }
      await mayCreate(key)
      return resumeUpload(connection, key, source, digests, { ...uploads, ...resume })
    },

    async isOwn(key) {
      return (await lookUp(connection, key))?.metadata[runIdKey] !== undefined
    },

    close: () => connection.close(),
  }
}

/** Keys are looked up before, so only a race for one key is left open. */
function overwrites(name: string): string {
  return (
    `${name}: the server ignores conditional writes (If-None-Match): of two runs that store the same name at the same moment one would ` +
    `overwrite the other. Let no two machines back up to it, lock the bucket, or take a provider that honours them`
  )
}
