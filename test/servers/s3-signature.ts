import { createHash, createHmac } from 'node:crypto'

/** The part of a request that AWS Signature Version 4 signs. Header names are in lower case. */
export interface SignedRequest {
  method: string
  /** Path and query, as sent. */
  url: string
  headers: Record<string, string | string[] | undefined>
  /** Lower-case hex SHA-256 of the body. */
  payload: string
}

export interface Scope {
  /** `20261124` */
  day: string
  region: string
  service: string
}

/** The signature in hex over the given headers, as in AWS's "Create a signed AWS API request". */
export function signatureOf(
  request: SignedRequest,
  headerNames: string[],
  scope: Scope,
  secret: string,
): string {
  const [path = '', query = ''] = request.url.split('?')
  const canonical = [
    request.method,
    path,
    query
      .split('&')
      .filter(Boolean)
      .map((pair) => (pair.includes('=') ? pair : `${pair}=`))
      .sort()
      .join('&'),
    ...headerNames.map((name) => `${name}:${String(request.headers[name] ?? '').trim()}`),
    '',
    headerNames.join(';'),
    request.payload,
  ].join('\n')
  const toSign = [
    'AWS4-HMAC-SHA256',
    request.headers['x-amz-date'],
    `${scope.day}/${scope.region}/${scope.service}/aws4_request`,
    createHash('sha256').update(canonical).digest('hex'),
  ].join('\n')
  const key = [scope.day, scope.region, scope.service, 'aws4_request'].reduce<string | Buffer>(
    (secret, part) => hmac(secret, part),
    `AWS4${secret}`,
  )
  return hmac(key, toSign).toString('hex')
}

/** The parts of an `authorization` header, or undefined for another kind. */
export function readAuthorization(header: string | undefined) {
  const found = header?.match(
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/,
  )
  if (!found) return undefined
  const [, accessKeyId = '', day = '', region = '', service = '', headers = '', signature = ''] = found
  return { accessKeyId, scope: { day, region, service }, headerNames: headers.split(';'), signature }
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
