import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { NotChecked } from '../cli/finding.ts'
import type { BucketName } from '../inventory.ts'
import type { Settings } from '../settings/settings.ts'
import { type ObjectStoreName, objectStoreAccess } from '../stores/open.ts'
import { type Connection, connect, type Patience } from '../stores/s3/client.ts'
import { S3Failure } from '../stores/s3/failure.ts'
import { listPage } from '../stores/s3/lookup.ts'
import { strangeAnswer } from '../stores/s3/read.ts'
import { type S3Store, s3Store } from '../stores/s3/store.ts'
import { probeFolder } from '../stores/s3/trust.ts'
import { KeyExists, StoreError } from '../stores/store.ts'
import { remembered } from '../text.ts'

/** A server's answer to a request without a key. */
export interface Greeting {
  /** Milliseconds that the server's clock is ahead of ours. Undefined when it sends no time. */
  aheadMs: number | undefined
  seconds: number
}

interface OpenBucket {
  store: S3Store
  connection: Connection
}

/** How checks query the object stores. Each query is made once, however many checks need it. */
export interface ObjectStores {
  /** Throws the reason when the server does not answer. */
  greet(name: ObjectStoreName): Promise<Greeting>
  /** `accepted`, or `denied` when it may not list, which does not prove the key. Throws on a bad key. */
  knock(name: ObjectStoreName): Promise<'accepted' | 'denied'>
  /** Throws NotChecked while the server does not answer or rejects the key. */
  bucket(name: ObjectStoreName, bucket: BucketName): Promise<OpenBucket>
  /** Ensures that the multipart probe is in the cache bucket. Throws what failed, or NotChecked. */
  multipart(name: ObjectStoreName): Promise<'created' | 'there'>
  close(): Promise<void>
}

/** Settings without which a store cannot be queried. */
export function keySettings(name: ObjectStoreName): string[] {
  return ['ENDPOINT', 'ACCESS_KEY_ID', 'SECRET_ACCESS_KEY'].map((what) => `${name.toUpperCase()}_${what}`)
}

/** The object stores in the settings, whether valid or not. */
export function namedObjectStores(
  settings: Settings,
  settingProblems: readonly { setting: string }[],
): ObjectStoreName[] {
  const isNamed = (name: ObjectStoreName) =>
    settingProblems.some(({ setting }) => setting.startsWith(`${name.toUpperCase()}_`))
  return (['r2', 'hetzner'] as const).filter((name) => settings[name] !== undefined || isNamed(name))
}

/** Someone is waiting, so less patience than in a backup. */
const patience: Partial<Patience> = {
  connectMs: 5_000,
  idleMs: 20_000,
  requestMs: 60_000,
  attempts: 2,
  backoffMaxMs: 2_000,
}

export function openObjectStores(settings: Settings): ObjectStores {
  const open: { close(): Promise<void> }[] = []
  const greet = remembered((name: ObjectStoreName) => ask(settings[name]?.endpoint ?? ''))
  const knock = remembered(async (name: ObjectStoreName) => {
    await greet(name)
    return listOnce(opened(name)('cache').connection)
  })
  const multipart = remembered(async (name: ObjectStoreName) =>
    probeMultipart((await bucket(name, 'cache')).store),
  )
  const opened = remembered((name: ObjectStoreName) =>
    remembered((bucketName: BucketName): OpenBucket => {
      const access = { ...objectStoreAccess(name, bucketName, settings), patience }
      const store = s3Store({ ...access, partBytes: multipartProbe.partBytes })
      const connection = connect(access)
      open.push(store, connection)
      return { store, connection }
    }),
  )

  async function bucket(name: ObjectStoreName, bucketName: BucketName): Promise<OpenBucket> {
    await knock(name).catch(() => {
      throw new NotChecked(
        `${name} does not answer or rejects the key`,
        `fix "stores ${name} server" first, then run: comfyume-backup doctor`,
      )
    })
    return opened(name)(bucketName)
  }

  return {
    greet,
    knock,
    bucket,
    multipart,
    async close() {
      await Promise.all(open.map((one) => one.close()))
    },
  }
}

/** A server checks the key before it looks for the bucket, and the key's rights before it lists. */
async function listOnce(connection: Connection): Promise<'accepted' | 'denied'> {
  try {
    await listPage(connection, '', { atMost: 1 })
    return 'accepted'
  } catch (error) {
    if (error instanceof S3Failure && error.status === 404) return 'accepted'
    if (error instanceof S3Failure && error.code === 'AccessDenied') return 'denied'
    throw error
  }
}

/** Sends no key, so that a wrong one does not matter. Every answer has the server's time in whole seconds. */
async function ask(endpoint: string): Promise<Greeting> {
  const before = Date.now()
  const answer = await fetch(endpoint, {
    method: 'HEAD',
    redirect: 'manual',
    signal: AbortSignal.timeout(10_000),
  })
  const after = Date.now()
  const date = Date.parse(answer.headers.get('date') ?? '')
  return {
    aheadMs: Number.isNaN(date) ? undefined : date + 500 - (before + after) / 2,
    seconds: (after - before) / 1000,
  }
}

/** Probes of what we rely on. Each is one fixed object, written once: nothing can be removed. */

/** Two equal parts and a smaller last one, in the smallest size that servers accept. */
export const multipartProbe = {
  key: `${probeFolder}multipart-probe`,
  partBytes: 5 * 2 ** 20,
  bytes: 11 * 2 ** 20,
}

/** Creates the probe object in parts, as models are; if it exists, compares it. Throws StoreError. */
async function probeMultipart(store: S3Store): Promise<'created' | 'there'> {
  const { key, bytes } = multipartProbe
  const content = probeContent()
  try {
    await store.createFrom(key, { bytes, open: () => Readable.from([content]) })
    return 'created'
  } catch (error) {
    if (!(error instanceof KeyExists)) throw error
  }
  const stored = await buffer(await store.open(key))
  if (stored.equals(content)) return 'there'
  throw new StoreError(
    `${store.name}: ${key} holds other content (${stored.length} bytes) than was written there. ` +
      'Something changed it: find out who else has a key to this bucket, and lock it',
  )
}

/** Whether a range request starting in the second part of the probe object returns its end. */
export async function probeRange(store: S3Store): Promise<boolean> {
  const from = 2 * multipartProbe.partBytes - 1000
  try {
    const stored = await buffer(await store.open(multipartProbe.key, from))
    return stored.equals(probeContent().subarray(from))
  } catch (error) {
    if (error instanceof S3Failure && error.code === strangeAnswer) return false
    throw error
  }
}

/** Bytes that do not compress or deduplicate, the same on every machine. */
function probeContent(): Buffer {
  return createHash('shake256', { outputLength: multipartProbe.bytes })
    .update('comfyume-backup multipart probe')
    .digest()
}
