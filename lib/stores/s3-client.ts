import { setTimeout as sleep } from 'node:timers/promises'
import type { S3Client } from '@aws-sdk/client-s3'
import { boundAnswers } from './s3-answer.ts'
import { failureOf, type Place, type S3Failure } from './s3-failure.ts'
import { guard } from './s3-guard.ts'

/** How long to wait, and how often to try. All times are in milliseconds. */
export interface Patience {
  connectMs: number
  /** A connection on which nothing moves for so long is given up. */
  idleMs: number
  /** From the start of a request to the head of its answer. */
  requestMs: number
  /** Tries of one request in all. */
  attempts: number
  /** The pause before try n is random, up to backoffMs doubled n times, never more than backoffMaxMs. */
  backoffMs: number
  backoffMaxMs: number
}

export interface S3Access {
  /** The store's short name, as settings have it, for messages: `r2`. */
  name: string
  endpoint: string
  /** `auto` for R2. */
  region: string
  bucket: string
  /** Before every key in the bucket: empty, or a folder with its slash. */
  prefix?: string
  accessKeyId: string
  secretAccessKey: string
  /** Of temporary credentials, the only ones with which R2 can forbid deletion. */
  sessionToken?: string
  patience?: Partial<Patience>
}

export interface S3 {
  client: S3Client
  /** The same, but it waits for an answer for as long as a request may take: a server may put 20 GB of parts together in silence. */
  silent: S3Client
  sdk: typeof import('@aws-sdk/client-s3')
}

/** One bucket, behind a client that can only add to it. */
export interface Connection {
  /** `r2 bucket comfyume-cache-backups` */
  readonly name: string
  readonly bucket: string
  readonly patience: Patience
  /** The key in the bucket of a key of the store: with the prefix. */
  path(key: string): string
  /** Sends one request once. Throws S3Failure. `what` completes "could not …". */
  once<T>(what: string, ask: (s3: S3) => Promise<T>): Promise<T>
  /** Sends one request, again after a pause while it fails in a way that may pass. Throws the last S3Failure. */
  request<T>(what: string, ask: (s3: S3) => Promise<T>, signal?: AbortSignal): Promise<T>
  close(): Promise<void>
}

/** At most about three minutes for a server that is away: ten tries, ten seconds each to connect, seventy of pauses. */
const defaultPatience: Patience = {
  connectMs: 10_000,
  idleMs: 120_000,
  requestMs: 900_000,
  attempts: 10,
  backoffMs: 250,
  backoffMaxMs: 20_000,
}

export function connect(access: S3Access): Connection {
  const name = `${access.name} bucket ${access.bucket}`
  const place: Place = { name, label: access.name, endpoint: access.endpoint, bucket: access.bucket }
  const patience = { ...defaultPatience, ...access.patience }
  let s3: Promise<S3> | undefined

  async function once<T>(what: string, ask: (s3: S3) => Promise<T>): Promise<T> {
    s3 ??= loadClients(access, name, patience)
    const ready = await s3
    return ask(ready).catch((error) => {
      throw failureOf(error, place, what)
    })
  }

  return {
    name,
    bucket: access.bucket,
    patience,
    path: (key) => (access.prefix ?? '') + key,
    once,
    async request(what, ask, signal) {
      for (let attempt = 1; ; attempt++) {
        signal?.throwIfAborted()
        try {
          return await once(what, ask)
        } catch (error) {
          if (!(error as S3Failure).transient || attempt >= patience.attempts) throw error
        }
        await pause(patience, attempt, signal)
      }
    },
    async close() {
      if (s3 === undefined) return
      const { client, silent } = await s3
      client.destroy()
      silent.destroy()
      s3 = undefined
    },
  }
}

/** Exponential back-off with full jitter: clients that failed together do not come back together. */
export async function pause(patience: Patience, attempt: number, signal?: AbortSignal): Promise<void> {
  const ceiling = Math.min(patience.backoffMaxMs, patience.backoffMs * 2 ** attempt)
  await sleep(Math.random() * ceiling, undefined, signal && { signal })
}

/** The SDK is loaded here, when it is first needed: most commands start without it. */
async function loadClients(access: S3Access, name: string, patience: Patience): Promise<S3> {
  // The SDK's own switch for its notice about Node versions, which would reach every cron mail.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'
  const sdk = await import('@aws-sdk/client-s3')
  const client = makeClient(sdk, access, patience, patience.idleMs)
  const silent = makeClient(sdk, access, patience, patience.requestMs)
  for (const each of [client, silent]) {
    guard(each, name)
    boundAnswers(each, patience.requestMs)
  }
  return { client, silent, sdk }
}

/** What fails is told here, in words of this software's own; the SDK would print something of it besides. */
const silence = { debug() {}, info() {}, warn() {}, error() {} }

function makeClient(sdk: S3['sdk'], access: S3Access, patience: Patience, idleMs: number): S3Client {
  const { accessKeyId, secretAccessKey, sessionToken } = access
  return new sdk.S3Client({
    endpoint: access.endpoint,
    region: access.region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
    // R2 and Ceph refuse the SDK's default checksums and aws-chunked bodies (aws-sdk-js-v3 issue 6810).
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // R2 never answers "100 Continue".
    expectContinueHeader: false,
    // A wrong clock makes wrong names and records: it is reported, not worked around.
    disableClockSkewCorrection: true,
    // The one who asks retries: after an uncertain answer the object must be looked up first.
    maxAttempts: 1,
    logger: silence,
    // Nothing that the machine's own AWS configuration could change.
    defaultsMode: 'standard',
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    requestHandler: {
      connectionTimeout: patience.connectMs,
      socketTimeout: idleMs,
      requestTimeout: patience.requestMs,
      throwOnRequestTimeout: true,
      // Also where NODE_TLS_REJECT_UNAUTHORIZED=0 is left over from somebody's test.
      httpsAgent: { rejectUnauthorized: true },
    },
  })
}
