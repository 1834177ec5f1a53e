import type { _Object } from '@aws-sdk/client-s3'
import { printable } from '../../text.ts'
import type { Entry } from '../store.ts'
import type { Connection } from './client.ts'
import { S3Failure } from './failure.ts'

export interface Found {
  bytes: number
  /** Lower-case names. */
  metadata: Record<string, string>
}

/** Returns undefined when the key is not there. */
export async function lookUp(connection: Connection, key: string): Promise<Found | undefined> {
  try {
    const answer = await connection.request(`look up ${key}`, ({ client, sdk }) =>
      client.send(new sdk.HeadObjectCommand({ Bucket: connection.bucket, Key: connection.path(key) })),
    )
    return { bytes: answer.ContentLength ?? 0, metadata: answer.Metadata ?? {} }
  } catch (error) {
    if (!(error instanceof S3Failure)) throw error
    if (error.status === 404) return undefined
    // A HEAD answer has no body, so no reason. Listing one key fails with the reason.
    if (error.status !== undefined && !error.transient) await listPage(connection, key, { atMost: 1 })
    throw error
  }
}

/** Every object whose key starts with `prefix`, in the server's order: by the bytes of the key. */
export async function* listAll(
  connection: Connection,
  prefix: string,
  after?: string,
): AsyncGenerator<Entry> {
  const tokens = new Set<string>()
  let token: string | undefined
  do {
    const page = await listPage(connection, prefix, { token, after })
    for (const object of page.Contents ?? []) {
      const entry = entryOf(connection, prefix, object)
      // Some consoles create an object for the folder itself.
      if (entry.key !== '') yield entry
    }
    token = page.IsTruncated ? page.NextContinuationToken : undefined
    if (page.IsTruncated && (!token || tokens.has(token)))
      throw notAListing(connection, prefix, 'it continues, but does not say where')
    tokens.add(token ?? '')
  } while (token !== undefined)
}

/** Rejects nonsense: after such an answer, even "not there" cannot be trusted. */
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
    `${name}: the answer to a listing of ${prefix || 'its objects'} makes no sense: ${why}. Ask the provider, or look for a proxy in between`,
    'StrangeListing',
    undefined,
    false,
  )
}

interface PageOptions {
  /** Where the previous page ended. */
  token?: string | undefined
  /** Only keys that sort after this one. */
  after?: string | undefined
  atMost?: number
}

export function listPage(connection: Connection, prefix: string, { token, after, atMost }: PageOptions = {}) {
  return connection.request(`list ${prefix || 'its objects'}`, ({ client, sdk }) =>
    client.send(
      new sdk.ListObjectsV2Command({
        Bucket: connection.bucket,
        Prefix: connection.path(prefix),
        ContinuationToken: token,
        StartAfter: after && connection.path(after),
        MaxKeys: atMost,
      }),
    ),
  )
}
