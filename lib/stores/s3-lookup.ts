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
  let token: string | undefined
  do {
    const page = await listPage(connection, prefix, token)
    for (const { Key, Size, LastModified } of page.Contents ?? []) {
      yield {
        key: (Key ?? '').slice(connection.path('').length),
        bytes: Size ?? 0,
        modified: LastModified ?? new Date(0),
      }
    }
    token = page.IsTruncated ? page.NextContinuationToken : undefined
  } while (token !== undefined)
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
