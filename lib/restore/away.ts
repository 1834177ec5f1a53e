import type { BucketName, RestoreSource } from '../inventory.ts'

/** Where nothing could be had from, and why: by source and there by bucket, for a key may reach one bucket and not another. */
export type Away = ReadonlyMap<RestoreSource, ReadonlyMap<BucketName, string>>

/** Why nothing could be had from a source; a source may hold one bucket back and give the others. */
export function awayFrom(away: Away, source: RestoreSource, bucket: BucketName): string | undefined {
  return away.get(source)?.get(bucket)
}

/** Each reason of a source once, without what only differs in the name of the bucket. */
export function reasonsOf(away: Away, source: RestoreSource): string[] {
  const seen = new Map<string, string>()
  for (const reason of away.get(source)?.values() ?? []) {
    const same = reason.replaceAll(/\bbucket \S+|\blist \S+/g, '')
    if (!seen.has(same)) seen.set(same, reason)
  }
  return [...seen.values()]
}
