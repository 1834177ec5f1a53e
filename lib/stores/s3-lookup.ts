import type { _Object } from '@aws-sdk/client-s3'
import { printable } from '../printable.ts'
import type { Connection } from './s3-client.ts'
import { S3Failure } from './s3-failure.ts'
import type { Entry } from './store.ts'

export interface Found {
  bytes: number
  /** Lower-case names. */
  metadata: Record<string, string>
}

/** What lies under a key, or undefined. */
export async function lookUp(connection: Connection, key: string): Promise<Found | undefined> {
  try {
    const answer = await connection.request(`look up ${key}`, ({ client, sdk }) =>
      client.send(new sdk.HeadObjectCommand({ Bucket: connection.bucket, Key: connection.path(key) })),
    )
    return { bytes: answer.ContentLength ?? 0, metadata: answer.Metadata ?? {} }
  } catch (error) {
    if (!(error instanceof S3Failure)) throw error
    if (error.status === 404) return undefined
    // The answer to a HEAD has no body, so not the reason either; that to a list of one key has it.
    if (error.status !== undefined && !error.transient) await listPage(connection, key, undefined, 1)
    throw error
  }
}

/** Every object whose key starts with `prefix`, in the order of the server: by the bytes of the key. */
export async function* listAll(connection: Connection, prefix: string): AsyncGenerator<Entry> {
  const tokens = new Set<string>()
  let token: string | undefined
  do {
    const page = await listPage(connection, prefix, token)
    for (const object of page.Contents ?? []) {
      const entry = entryOf(connection, prefix, object)
      // The folder itself, as some consoles make it.
      if (entry.key !== '') yield entry
    }
    token = page.IsTruncated ? page.NextContinuationToken : undefined
    if (page.IsTruncated && (!token || tokens.has(token)))
      throw notAListing(connection, prefix, 'it goes on, and does not say where')
    tokens.add(token ?? '')
  } while (token !== undefined)
}

/** Of a server that answers with anything else, nothing can be believed, least of all that something is not there. */
function entryOf(connection: Connection, prefix: string, { Key, Size, LastModified }: _Object): Entry {
  if (!Key?.startsWith(connection.path(prefix)))
    throw notAListing(
      connection,
      prefix,
      `it holds ${printable(JSON.stringify(Key ?? ''))}, which was not asked for`,
    )
  if (!Number.isSafeInteger(Size) || (Size as number) < 0)
    throw notAListing(connection, prefix, `it gives ${printable(Key)} a size of ${Size} bytes`)
  return {
    key: Key.slice(connection.path('').length),
    bytes: Size as number,
    modified: LastModified ?? new Date(0),
  }
}

function notAListing({ name }: Connection, prefix: string, why: string): S3Failure {
  return new S3Failure(
    `${name}: the answer to a listing of ${prefix || 'its objects'} makes no sense: ${why}. Ask the provider, or see what stands between`,
    'StrangeListing',
    undefined,
    false,
  )
}

export function listPage(connection: Connection, prefix: string, token?: string, atMost?: number) {
  return connection.request(`list ${prefix || 'its objects'}`, ({ client, sdk }) =>
    client.send(
      new sdk.ListObjectsV2Command({
        Bucket: connection.bucket,
        Prefix: connection.path(prefix),
        ContinuationToken: token,
        MaxKeys: atMost,
      }),
    ),
  )
}
