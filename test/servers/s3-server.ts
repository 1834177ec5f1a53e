import { randomBytes } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { loadIndex, type StoredObject, s3Objects, saveIndex, sortedKeys } from './s3-objects.ts'
import { type Manner, operations } from './s3-operations.ts'
import {
  type Fault,
  type LoggedRequest,
  loggedOf,
  parse,
  Refusal,
  type Request,
  refuse,
} from './s3-request.ts'
import { readAuthorization, signatureOf } from './s3-signature.ts'

/**
 * A small S3 server in this process, for tests and the demo. It refuses what R2 and Hetzner refuse (unequal
 * parts, unsigned payloads, aws-chunked, failed conditions) and fails on demand. It cannot delete.
 */
export interface S3Server {
  endpoint: string
  region: string
  accessKeyId: string
  secretAccessKey: string
  /** Every request since the start, in order of arrival. */
  log: LoggedRequest[]
  /** Makes the next matching request fail. */
  fail(fault: Fault): void
  /** Cancels all planned faults; returns how many were left. */
  heal(): number
  /** Stores an object, as another client would; several keys share one content. */
  put(bucket: string, keys: string | readonly string[], content: Buffer): Promise<void>
  /** An object's content, or undefined. */
  content(bucket: string, key: string): Promise<Buffer | undefined>
  /** The stored object; a different object in memory means another write. */
  object(bucket: string, key: string): StoredObject | undefined
  /** All keys of a bucket, in order. */
  keys(bucket: string): string[]
  /** Saves an index next to the content, so a server can start from a copy of the folder. */
  save(): void
  /** Drops all unfinished uploads, as R2 does after seven days. */
  expireUploads(): void
  /** Deletes the content too, unless `keep`. */
  close(how?: { keep: boolean }): Promise<void>
}

export interface S3ServerOptions extends Manner {
  /** The folder for content, created if missing. */
  folder: string
  buckets: string[]
  /** `folder` is a copy of a saved one. */
  saved?: boolean
  /** How far ahead this server's clock is. */
  clockAheadMs?: number
}

const clockToleranceMs = 15 * 60_000

export async function startS3Server(options: S3ServerOptions): Promise<S3Server> {
  const accessKeyId = 'AKINPROCESS'
  // Its own, so that a test finds only what comes from its server among the machine's processes.
  const secretAccessKey = `in-process-secret-${randomBytes(8).toString('hex')}`
  await mkdir(options.folder, { recursive: true })
  const objects = s3Objects(options.folder, options.buckets)
  if (options.saved) loadIndex(options.folder, objects)
  const log: LoggedRequest[] = []
  const faults: (Fault & { times: number; after: number })[] = []
  const now = () => new Date(Date.now() + (options.clockAheadMs ?? 0))

  function faultFor(operation: string): Fault | undefined {
    const fault = faults.find((fault) => ['*', operation].includes(fault.operation) && fault.times > 0)
    if (fault === undefined || fault.after-- > 0) return undefined
    fault.times -= 1
    return fault
  }

  const server = createServer((from, to) => {
    const request = parse(from, to)
    const fault = faultFor(request.operation)
    request.fault = fault?.how
    const index = log.push(request) - 1
    to.once('close', () => {
      log[index] = loggedOf(request)
    })
    to.sendDate = false
    to.setHeader('date', now().toUTCString())
    answer(request, fault).catch((error) => {
      if (error instanceof Refusal) refuse(request, error)
      else from.destroy()
    })
  })

  async function answer(request: Request, spoilt?: Fault): Promise<void> {
    const { from, fault } = request
    await spoilt?.meanwhile?.()
    if (fault === 'reset') {
      from.socket.resetAndDestroy()
      return
    }
    if (fault === 'half' && (request.method === 'PUT' || request.method === 'POST')) {
      await breakOffHalfWay(from)
      return
    }
    if (typeof fault === 'number') {
      from.resume()
      await new Promise((resolve) => from.once('end', resolve))
      throw new Refusal(fault, spoilt?.code ?? 'InternalError')
    }
    authenticate(request)
    const operation = operations[request.operation]
    if (operation === undefined) throw new Refusal(501, 'NotImplemented')
    await operation(request, objects, { ...options, now })
    spoilt?.afterwards?.()
  }

  function authenticate(request: Request): void {
    const { headers } = request
    const date = String(headers['x-amz-date'] ?? '')
    const authorization = readAuthorization(headers.authorization as string | undefined)
    if (authorization === undefined) throw new Refusal(403, 'AccessDenied')
    if (authorization.accessKeyId !== accessKeyId) throw new Refusal(403, 'InvalidAccessKeyId')
    const sent = Date.parse(date.replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, '$1-$2-$3T$4:$5:$6Z'))
    if (!(Math.abs(sent - now().getTime()) < clockToleranceMs)) throw new Refusal(403, 'RequestTimeTooSkewed')
    const payload = String(headers['x-amz-content-sha256'] ?? '')
    const { headerNames, scope, signature } = authorization
    const signed = { method: request.method, url: request.from.url ?? '', headers, payload }
    if (signatureOf(signed, headerNames, scope, secretAccessKey) !== signature)
      throw new Refusal(403, 'SignatureDoesNotMatch')
    if (!objects.buckets.has(request.bucket)) throw new Refusal(404, 'NoSuchBucket')
  }

  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  return {
    endpoint: `http://127.0.0.1:${port}`,
    region: 'auto',
    accessKeyId,
    secretAccessKey,
    log,
    fail(fault) {
      faults.push({ times: 1, after: 0, ...fault })
    },
    heal: () => faults.splice(0).reduce((sum, { times }) => sum + times, 0),
    async put(bucket, keys, content) {
      const { file, bytes, md5 } = await objects.receive(Readable.from([content]))
      const etag = `"${md5.toString('hex')}"`
      for (const key of [keys].flat())
        objects.buckets
          .get(bucket)
          ?.set(key, { files: [{ file, bytes }], bytes, etag, modified: now(), metadata: {} })
    },
    async content(bucket, key) {
      const object = objects.buckets.get(bucket)?.get(key)
      return object && buffer(objects.read(object, 0, object.bytes))
    },
    object: (bucket, key) => objects.buckets.get(bucket)?.get(key),
    keys: (bucket) => sortedKeys(objects, bucket),
    save: () => saveIndex(options.folder, objects),
    expireUploads: () => objects.uploads.clear(),
    async close({ keep } = { keep: false }) {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      if (!keep) await rm(options.folder, { recursive: true, force: true })
    },
  }
}

async function breakOffHalfWay(from: IncomingMessage): Promise<void> {
  const { socket } = from
  const half = Number(from.headers['content-length'] ?? 0) / 2
  let bytes = 0
  for await (const chunk of from) {
    bytes += chunk.length
    if (bytes >= half) break
  }
  // A request that arrived in one piece is no longer tied to its connection.
  socket.destroy()
}
