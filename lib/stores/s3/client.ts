import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { S3Client, UploadPartCommand } from '@aws-sdk/client-s3'
import { messageOf } from '../../text.ts'
import { StoreError } from '../store.ts'
import { failureOf, type Place, type S3Failure } from './failure.ts'

/** Timeouts and retries. All times are in milliseconds. */
export interface Patience {
  connectMs: number
  /** A connection that is silent for this long is dropped. */
  idleMs: number
  /** From the start of a request to the head of its answer. */
  requestMs: number
  attempts: number
  /** The pause before try n is random, at most backoffMs * 2^n and backoffMaxMs. */
  backoffMs: number
  backoffMaxMs: number
}

export interface S3Access {
  /** The store's short name in settings and messages: `r2`. */
  name: string
  endpoint: string
  /** `auto` for R2. */
  region: string
  bucket: string
  /** Prepended to every key: empty, or a folder with its slash. */
  prefix?: string
  accessKeyId: string
  secretAccessKey: string
  /** For temporary credentials. On R2 only these can forbid deletion. */
  sessionToken?: string
  patience?: Partial<Patience>
  onRetry?: OnRetry | undefined
}

/** Called before a failed request is retried. */
export type OnRetry = (retry: Retry) => void

export interface Retry {
  store: string
  text: string
  /** How many of the `attempts` failed so far. */
  failed: number
  attempts: number
}

export interface S3 {
  client: S3Client
  /** Waits for an answer as long as requestMs: a server may join 20 GB of parts without sending a byte. */
  silent: S3Client
  sdk: typeof import('@aws-sdk/client-s3')
}

/** One bucket, through a client that can only add to it. */
export interface Connection {
  /** `r2 bucket comfyume-cache-backups` */
  readonly name: string
  readonly bucket: string
  readonly patience: Patience
  /** The key in the bucket, with the prefix. */
  path(key: string): string
  /** Sends one request once. Throws S3Failure. `what` completes "could not …". */
  once<T>(what: string, ask: (s3: S3) => Promise<T>): Promise<T>
  /** Sends one request and retries transient failures. Throws the last S3Failure. */
  request<T>(what: string, ask: (s3: S3) => Promise<T>, signal?: AbortSignal): Promise<T>
  /** Waits before the next try, after `failed` tries. */
  pause(failed: number, error: unknown, signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** About three minutes at most for an unreachable server: ten tries of 10 s, and 70 s of pauses. */
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
  const pause: Connection['pause'] = (failed, error, signal) => {
    access.onRetry?.({ store: access.name, text: messageOf(error), failed, attempts: patience.attempts })
    return backOff(patience, failed, signal)
  }
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
          await pause(attempt, error, signal)
        }
      }
    },
    pause,
    async close() {
      if (s3 === undefined) return
      const { client, silent } = await s3
      client.destroy()
      silent.destroy()
      s3 = undefined
    },
  }
}

/** Exponential back-off with full jitter, so that clients that failed together do not retry together. */
async function backOff(patience: Patience, attempt: number, signal?: AbortSignal): Promise<void> {
  const ceiling = Math.min(patience.backoffMaxMs, patience.backoffMs * 2 ** attempt)
  await sleep(Math.random() * ceiling, undefined, signal && { signal })
}

/** Loads the SDK on first use, because most commands start without it. */
async function loadClients(access: S3Access, name: string, patience: Patience): Promise<S3> {
  // Turns off the SDK's notice about Node versions, which would get into every cron mail.
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

/** Failures are reported by our own messages, so silence the SDK. */
const silence = { debug() {}, info() {}, warn() {}, error() {} }

function makeClient(sdk: S3['sdk'], access: S3Access, patience: Patience, idleMs: number): S3Client {
  const { accessKeyId, secretAccessKey, sessionToken } = access
  return new sdk.S3Client({
    endpoint: access.endpoint,
    region: access.region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey, sessionToken },
    // R2 and Ceph refuse the SDK's default checksums and aws-chunked bodies (aws-sdk-js-v3 issue 6810).
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // R2 never answers "100 Continue".
    expectContinueHeader: false,
    // A wrong clock also makes wrong names and records, so report it and do not work around it.
    disableClockSkewCorrection: true,
    // Callers retry: after an uncertain answer they must look up the object first.
    maxAttempts: 1,
    logger: silence,
    // Ignore the machine's own AWS configuration.
    defaultsMode: 'standard',
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    requestHandler: {
      connectionTimeout: patience.connectMs,
      socketTimeout: idleMs,
      requestTimeout: patience.requestMs,
      throwOnRequestTimeout: true,
      // Holds even if a test left NODE_TLS_REJECT_UNAUTHORIZED=0 behind.
      httpsAgent: { rejectUnauthorized: true },
    },
  })
}

/** All operations that may be sent to an object store. None removes anything, even unfinished uploads. */
export const allowedOperations = [
  'ListObjectsV2',
  'HeadObject',
  'GetObject',
  'PutObject',
  'CreateMultipartUpload',
  'UploadPart',
  'CompleteMultipartUpload',
  'ListMultipartUploads',
  'ListParts',
] as const

/** These create a key. `If-None-Match: *` is required, so that the server refuses a key that is taken. */
const commits = ['PutObject', 'CompleteMultipartUpload']

/**
 * Makes a client throw a StoreError before it sends an operation that is not listed or could overwrite.
 * Checks the operation's name first and the HTTP method last.
 */
export function guard(client: S3Client, store: string): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const operation = String(context.commandName).replace(/Command$/, '')
      if (!allowedOperations.some((allowed) => allowed === operation)) throw refusal(store, operation)
      if (commits.includes(operation) && (args.input as { IfNoneMatch?: string }).IfNoneMatch !== '*') {
        throw refusal(store, `${operation} without If-None-Match`)
      }
      return next(args)
    },
    { step: 'initialize', priority: 'high', name: 'appendOnlyOperations' },
  )
  client.middlewareStack.add(
    (next) => async (args) => {
      const { method } = args.request as { method: string }
      if (!['GET', 'HEAD', 'PUT', 'POST'].includes(method)) throw refusal(store, `a ${method} request`)
      return next(args)
    },
    { step: 'finalizeRequest', priority: 'low', name: 'appendOnlyMethods' },
  )
}

function refusal(store: string, what: string): StoreError {
  return new StoreError(`${store}: refused to send ${what}: object stores are append-only`)
}

/** The SHA-256 of the payload. With this header the SDK signs it and does not hash again. */
export const signedDigest = 'x-amz-content-sha256'

/** Sends a signed header that the SDK has no parameter for. */
export function setHeader(command: object, name: string, value: string): void {
  const { middlewareStack } = command as Pick<UploadPartCommand, 'middlewareStack'>
  middlewareStack.add(
    (next) => (args) => {
      const { headers } = args.request as { headers: Record<string, string> }
      headers[name] = value
      return next(args)
    },
    { step: 'build', name: `set ${name}` },
  )
}

/** A page of a thousand keys of maximum length is 7 MB of XML. */
const mostBytes = 16 * 2 ** 20

/**
 * Makes a client drop an answer that is too large, or that has not ended after `milliseconds`. Object content
 * is exempt. Without this the SDK would collect the answer in memory without limit.
 */
function boundAnswers(client: S3Client, milliseconds: number): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const result = await next(args)
      const response = result.response as { statusCode: number; body?: unknown }
      const isContent = context.commandName === 'GetObjectCommand' && response.statusCode < 300
      if (!isContent && response.body instanceof Readable)
        response.body = Readable.from(bounded(response.body, milliseconds), { objectMode: false })
      return result
    },
    // Closest to the network, before the SDK reads the answer.
    { step: 'deserialize', priority: 'low', name: 'boundAnswers' },
  )
}

async function* bounded(body: Readable, milliseconds: number): AsyncGenerator<Buffer> {
  const timer = setTimeout(
    () => body.destroy(failure('TimeoutError', 'the answer does not end')),
    milliseconds,
  )
  let bytes = 0
  try {
    for await (const chunk of body) {
      bytes += chunk.length
      if (bytes > mostBytes) throw failure('AnswerTooLong', 'the answer is longer than any that S3 gives')
      yield chunk
    }
  } finally {
    clearTimeout(timer)
  }
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}
