import { printable, runAgain } from '../../text.ts'
import { StoreError } from '../store.ts'

/** A request to an object store failed. `transient`: the same request may succeed later. */
export class S3Failure extends StoreError {
  constructor(
    message: string,
    /** The server's code, such as `NoSuchBucket`, or the system's, such as `ECONNRESET`. */
    readonly code: string,
    /** The HTTP status, if there was an answer. */
    readonly status: number | undefined,
    readonly transient: boolean,
  ) {
    super(message)
  }
}

/** The store that failed. `label` is its short name in settings: `r2`. */
export interface Place {
  name: string
  label: string
  endpoint: string
  bucket: string
}

/** Turns an SDK error into what failed, why, and what to do. Keeps only the SDK's code and message. */
export function failureOf(error: unknown, place: Place, what: string): S3Failure {
  if (error instanceof S3Failure) return error
  const { name, message, code: systemCode, Code, $metadata, $response } = error as SdkError
  const status = $metadata?.httpStatusCode ?? $response?.statusCode
  const code = String(Code ?? systemCode ?? (name === 'Error' ? 'unknown' : name))
  const why = [status, code === 'UnknownError' ? undefined : code, oneLine(message, code)]
  const serverTime = $response?.headers?.date
  const advice = adviceFor(code, status, place, serverTime)
  return new S3Failure(
    printable(
      `${place.name}: could not ${what}: ${why.filter(Boolean).join(' ')}${advice === '' ? '' : `. ${advice}`}`,
    ),
    code,
    status,
    status === undefined || status === 200
      ? transientCodes.includes(code)
      : transientStatuses.includes(status) || transientCodes.includes(code),
  )
}

interface SdkError {
  name: string
  message: string
  code?: string
  Code?: string
  $metadata?: { httpStatusCode?: number }
  $response?: { statusCode?: number; headers?: Record<string, string> }
}

const transientStatuses = [408, 409, 429, 500, 502, 503, 504]

/** Network failures, and what servers answer when bytes were lost or damaged in transit. */
const transientCodes = [
  'TimeoutError',
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'RequestTimeout',
  'SlowDown',
  'InternalError',
  'IncompleteBody',
  'BadDigest',
  'XAmzContentSHA256Mismatch',
  'IncompleteRead',
]

function adviceFor(
  code: string,
  status: number | undefined,
  place: Place,
  serverTime: string | undefined,
): string {
  const { endpoint, bucket, label } = place
  const { hostname } = new URL(endpoint)
  const settings = label.toUpperCase()
  const denied = status === 403 || status === 401
  if (code === 'RequestTimeTooSkewed') {
    return (
      `The clocks differ: this machine says ${new Date().toISOString()}, the server ` +
      `${isTime(serverTime) ? new Date(serverTime).toISOString() : 'another time'}. ` +
      `Set this machine's clock (timedatectl set-ntp true), because names and records depend on it, then ${runAgain()}`
    )
  }
  if (code === 'InvalidAccessKeyId')
    return `The server does not know this access key: check ${settings}_ACCESS_KEY_ID and ${settings}_ENDPOINT`
  if (code === 'SignatureDoesNotMatch')
    return `The secret does not belong to this access key: check ${settings}_SECRET_ACCESS_KEY`
  if (code === 'ExpiredToken' || code === 'InvalidToken')
    return 'The temporary credentials have expired or are wrong: issue new ones'
  if (
    (denied || code === 'NoSuchBucket') &&
    hostname.endsWith('.r2.cloudflarestorage.com') &&
    !/\.(eu|fedramp)\.r2\./.test(hostname)
  ) {
    return (
      `The endpoint has no .eu: a bucket of the EU jurisdiction answers only at ` +
      `https://${hostname.replace('.r2.', '.eu.r2.')}. Set ${settings}_ENDPOINT to that`
    )
  }
  if (code === 'NoSuchBucket')
    return `There is no bucket ${bucket} at ${hostname}: check its name and ${settings}_ENDPOINT; buckets are created by hand, never by this software`
  if (denied)
    return `The access key may not do this in bucket ${bucket}: give it Object Read & Write on that bucket, or check the bucket's locks`
  if (code === 'NoSuchUpload')
    return `The unfinished upload has expired on the server. To start over, ${runAgain()}`
  if (code === 'ENOTFOUND')
    return `There is no host ${hostname}: check ${settings}_ENDPOINT and the name service`
  if (status === undefined && /CERT|SIGNED|TLS|SSL/i.test(code))
    return `The certificate of ${hostname} is not accepted: check ${settings}_ENDPOINT and this machine's clock`
  if (status === undefined && transientCodes.includes(code))
    return `${hostname} does not answer: check the network and ${settings}_ENDPOINT, then ${runAgain()}`
  if (status !== undefined && status >= 500)
    return `The server reports a fault of its own. Later, ${runAgain()}`
  if (status === 429) return `The server asks for fewer requests. Later, ${runAgain()}`
  return ''
}

function isTime(text: string | undefined): text is string {
  return text !== undefined && !Number.isNaN(Date.parse(text))
}

/** The server's message on one line, without the code and the SDK's own advice. */
function oneLine(message: string, code: string): string {
  const line = (message.split('\n')[0] ?? '').replace(/^@smithy\/\S+ - (\[\w+\] )?/, '').slice(0, 200)
  return line === '' || line === code || line === 'UnknownError' ? '' : `(${line})`
}
