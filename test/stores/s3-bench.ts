import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { type S3Options, type S3Store, s3Store } from '../../lib/stores/s3/store.ts'
import { type S3Server, type S3ServerOptions, startS3Server } from '../servers/s3-server.ts'
import { sha256 } from './contract.ts'

export const bucket = 'backups'
export const partBytes = 100_000

export interface Bench {
  server: S3Server
  store: S3Store
  /** Another store on the same server, as another process would have it. */
  another(options?: Partial<S3Options>): S3Store
  /** The SHA-256 of what lies under a key, or `nothing`. */
  stored(key: string): Promise<string>
  /** The names of the operations that arrived, in order. */
  operations(): string[]
}

const retries = { attempts: 4, backoffMs: 1, backoffMaxMs: 20 }
/** Waits for a busy machine as long as it takes. */
const patience = { connectMs: 60_000, idleMs: 60_000, requestMs: 60_000, ...retries }
/** For what never answers. */
export const hasty = { connectMs: 500, idleMs: 300, requestMs: 600, ...retries }

/** A server with an empty bucket and a store, both gone when the test ends. */
export async function bench(
  serverOptions: Partial<S3ServerOptions> = {},
  storeOptions: Partial<S3Options> = {},
): Promise<Bench> {
  const folder = await mkdtemp(path.join(tmpdir(), 's3-'))
  const server = await startS3Server({ folder, buckets: [bucket], minPartBytes: partBytes, ...serverOptions })
  const stores: S3Store[] = []

  function another(options: Partial<S3Options> = {}): S3Store {
    const { endpoint, region, accessKeyId, secretAccessKey } = server
    const access = { name: 'r2', endpoint, region, accessKeyId, secretAccessKey, bucket, patience }
    const store = s3Store({ ...access, partBytes, ...storeOptions, ...options })
    stores.push(store)
    return store
  }

  onTestFinished(async () => {
    for (const store of stores) await store.close()
    await server.close()
  })
  return {
    server,
    store: another(),
    another,
    async stored(key) {
      const content = await server.content(bucket, key)
      return content === undefined ? 'nothing' : sha256(content)
    },
    operations: () => server.log.map(({ operation }) => operation),
  }
}
