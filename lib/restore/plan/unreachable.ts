import type { BucketName, RestoreSource } from '../../inventory.ts'
import { S3Failure } from '../../stores/s3/failure.ts'
import { messageOf } from '../../text.ts'

/** Why a place cannot be read. */
export interface Reason {
  text: string
  /** The error's code, if any. Buckets with the same code are reported once. */
  code?: string
}

/** What could not be read, by source and bucket: a key may reach one bucket and not another. */
export type Unreachable = ReadonlyMap<RestoreSource, ReadonlyMap<BucketName, Reason>>

export function isUnreachable(unreachable: Unreachable, source: RestoreSource, bucket: BucketName): boolean {
  return unreachable.get(source)?.has(bucket) === true
}

/** Each reason of a source, once. */
export function reasonsOf(unreachable: Unreachable, source: RestoreSource): string[] {
  const seen = new Map<string, string>()
  for (const { text, code = text } of unreachable.get(source)?.values() ?? [])
    if (!seen.has(code)) seen.set(code, text)
  return [...seen.values()]
}

export function reasonOf(error: unknown): Reason {
  const text = messageOf(error)
  return error instanceof S3Failure ? { text, code: error.code } : { text }
}
