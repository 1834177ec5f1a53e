import type { IncomingMessage, ServerResponse } from 'node:http'
import { xml } from './s3-xml.ts'

export interface LoggedRequest {
  operation: string
  method: string
  bucket: string
  key: string
  query: Record<string, string>
  headers: Record<string, string | string[] | undefined>
  /** Bytes of the body received. */
  bytes: number
  /** 0: no answer. */
  status: number
  /** How it failed. */
  fault: How | undefined
}

export type How = number | 'reset' | 'half' | 'stall' | 'lost answer' | 'ignored condition' | 'flipped bit'

export interface Fault {
  /** `*`: any. */
  operation: string
  /**
   * - a status: reads the body, then answers with it
   * - `reset`: resets the connection at once
   * - `half`: closes the connection after half of the body or of the answer
   * - `stall`: never answers, or only half
   * - `lost answer`: carries out the request, then closes without an answer
   * - `ignored condition`: overwrites
   * - `flipped bit`: one bit of the answer's body is wrong
   */
  how?: How
  /** Runs first: a change by another client in the meantime. */
  meanwhile?(): Promise<unknown>
  /** Runs once the request is handled, before the client can act on the answer. */
  afterwards?(): void
  /** With a status: the error code in the answer. */
  code?: string
  /** How many requests; 1 by default. */
  times?: number
  /** How many requests to let pass first. */
  after?: number
}

export interface Request extends LoggedRequest {
  from: IncomingMessage
  to: ServerResponse
}

/** Thrown to be answered as an error. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
  ) {
    super(code)
  }
}

export function parse(from: IncomingMessage, to: ServerResponse): Request {
  const url = new URL(from.url ?? '/', 'http://server')
  const [, bucket = '', ...rest] = url.pathname.split('/').map(decodeURIComponent)
  const query = Object.fromEntries(url.searchParams)
  const method = from.method ?? ''
  const key = rest.join('/')
  const request = { method, bucket, key, query, headers: from.headers, bytes: 0, status: 0, from, to }
  return { ...request, operation: operationOf(method, key, query), fault: undefined }
}

/** The part of a finished request that the log keeps: no streams. */
export function loggedOf({ from, to, ...logged }: Request): LoggedRequest {
  return logged
}

function operationOf(method: string, key: string, query: Record<string, string>): string {
  const has = (name: string) => query[name] !== undefined
  if (key === '') {
    if (method === 'GET' && query['list-type'] === '2') return 'ListObjectsV2'
    if (method === 'GET' && has('uploads')) return 'ListMultipartUploads'
    return `${method} bucket`
  }
  if (method === 'HEAD') return 'HeadObject'
  if (method === 'GET') return has('uploadId') ? 'ListParts' : 'GetObject'
  if (method === 'PUT') return has('uploadId') ? 'UploadPart' : 'PutObject'
  if (method === 'POST' && has('uploads')) return 'CreateMultipartUpload'
  if (method === 'POST' && has('uploadId')) return 'CompleteMultipartUpload'
  return `${method} object`
}

/** Answers, unless the answer is to be lost or held forever. */
export async function reply(
  request: Request,
  body: string,
  headers: Record<string, string> = {},
): Promise<void> {
  if (request.fault === 'stall') return
  if (request.fault === 'lost answer' || request.fault === 'half') {
    request.to.destroy()
    return
  }
  request.status = 200
  request.to.writeHead(200, { ...headers, 'content-length': Buffer.byteLength(body) })
  request.to.end(body)
}

export function refuse(request: Request, { status, code }: Refusal): void {
  const body = request.method === 'HEAD' ? '' : xml('Error', { Code: code, Message: `refused: ${code}` })
  request.status = status
  request.from.resume()
  request.to.writeHead(status, { 'content-type': 'application/xml' })
  request.to.end(body)
}
