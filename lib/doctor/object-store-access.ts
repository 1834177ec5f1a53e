import type { BucketName } from '../inventory.ts'
import type { Settings } from '../settings.ts'
import { type ObjectStoreName, objectStoreAccess } from '../stores/open.ts'
import { type S3Store, s3Store } from '../stores/s3.ts'
import { type Connection, connect, type Patience } from '../stores/s3-client.ts'
import { S3Failure } from '../stores/s3-failure.ts'
import { listPage } from '../stores/s3-lookup.ts'
import { multipartProbe, probeMultipart } from '../stores/s3-probes.ts'
import { NotChecked } from './check.ts'

/** A server's answer to somebody without a key. */
export interface Greeting {
  /** Milliseconds by which the server's clock is ahead of this one's; undefined where it tells no time. */
  aheadMs: number | undefined
  seconds: number
}

interface OpenBucket {
  store: S3Store
  connection: Connection
}

export interface ObjectStores {
  /** The store's server is asked once. Throws why it does not answer. */
  greet(name: ObjectStoreName): Promise<Greeting>
  /** A bucket, for probes. Throws NotChecked while the server does not answer, or does not accept the key. */
  bucket(name: ObjectStoreName, bucket: BucketName): Promise<OpenBucket>
  /** Whether the server accepts the key. Throws why it does not. */
  knock(name: ObjectStoreName): Promise<void>
  /** Makes sure, once, that the multipart probe lies in the cache bucket. Throws what the server did not do, or NotChecked. */
  multipart(name: ObjectStoreName): Promise<'created' | 'there'>
  close(): Promise<void>
}

/** Settings without which a store cannot be asked anything. */
export function keySettings(name: ObjectStoreName): string[] {
  return ['ENDPOINT', 'ACCESS_KEY_ID', 'SECRET_ACCESS_KEY'].map((what) => `${name.toUpperCase()}_${what}`)
}

/** Somebody waits for the answer: less patience than a backup has. */
const patience: Partial<Patience> = {
  connectMs: 5_000,
  idleMs: 20_000,
  requestMs: 60_000,
  attempts: 2,
  backoffMaxMs: 2_000,
}

export function objectStores(settings: Settings): ObjectStores {
  const open: { close(): Promise<void> }[] = []
  const opened = new Map<string, OpenBucket>()
  const greetings = new Map<string, Promise<Greeting>>()
  const knocks = new Map<string, Promise<void>>()
  const probes = new Map<string, Promise<'created' | 'there'>>()

  function openBucket(name: ObjectStoreName, bucketName: BucketName): OpenBucket {
    const key = `${name}/${bucketName}`
    const there = opened.get(key)
    if (there) return there
    const access = { ...objectStoreAccess(name, bucketName, settings), patience }
    const pair = {
      store: s3Store({ ...access, partBytes: multipartProbe.partBytes }),
      connection: connect(access),
    }
    open.push(pair.store, pair.connection)
    opened.set(key, pair)
    return pair
  }

  function greet(name: ObjectStoreName): Promise<Greeting> {
    const greeting = greetings.get(name) ?? ask(settings[name]?.endpoint ?? '')
    greetings.set(name, greeting)
    return greeting
  }

  /** Whatever the answer is, an error about anything but the key means that the key was accepted. */
  async function listOnce(name: ObjectStoreName): Promise<void> {
    await greet(name)
    const { connection } = openBucket(name, 'cache')
    await listPage(connection, '', undefined, 1).catch((error) => {
      if (!(error instanceof S3Failure) || error.status === undefined || isOfKey(error)) throw error
    })
  }

  function knock(name: ObjectStoreName): Promise<void> {
    const knocked = knocks.get(name) ?? listOnce(name)
    knocks.set(name, knocked)
    return knocked
  }

  async function bucket(name: ObjectStoreName, bucketName: BucketName): Promise<OpenBucket> {
    await knock(name).catch(() => {
      throw new NotChecked(
        `${name} does not answer, or does not accept the key`,
        `mend "stores ${name} server" first`,
      )
    })
    return openBucket(name, bucketName)
  }

  return {
    greet,
    knock,
    bucket,
    multipart(name) {
      const probe = probes.get(name) ?? bucket(name, 'cache').then(({ store }) => probeMultipart(store))
      probes.set(name, probe)
      return probe
    },
    async close() {
      await Promise.all(open.map((one) => one.close()))
    },
  }
}

function isOfKey({ code }: S3Failure): boolean {
  return /InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|RequestTimeTooSkewed/.test(code)
}

/** Without a key, so that a wrong one does not matter: every answer has the server's time, in whole seconds. */
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
