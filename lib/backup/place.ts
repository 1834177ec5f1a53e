import { type Copy, readCopy } from '../copies.ts'
import { ladder, readArchiveName, type StampUnit, stampTime } from '../naming.ts'
import { type AppendOnlyStore, type RotatingStore, rotates, StoreError } from '../stores/store.ts'
import type { Target } from './plan.ts'

/** A free key, or one whose archive is to be replaced. */
export interface Place {
  key: string
  over: boolean
}

/**
 * A name for new content. On SFS the day's own file, unless it is not ours to replace; otherwise the first
 * free name of the ladder. If copies of later days exist, this machine's clock may be slow, so nothing is
 * replaced. Throws StoreError if all names are taken.
 */
export async function placeFor(
  store: AppendOnlyStore,
  { folder, stamp }: Target,
  item: string,
  now: Date,
  copies: readonly Copy[],
): Promise<Place> {
  const mayReplace = rotates(store) && !copies.some((copy) => stampTime(copy.stamp) > now)
  for (const { name } of ladder(item, now, stamp as StampUnit)) {
    const key = folder + name
    const there = copies.find((copy) => copy.key === key)
    if (!there) return { key, over: false }
    if (!mayReplace) continue
    // Without a record it may be someone else's, or half-written; from the future it is newer than ours.
    const known = await readCopy(store, there)
    if (known && known.time <= now) return { key, over: true }
  }
  throw new StoreError(
    `${store.name}: every name for this minute is taken, and nothing is overwritten: run again in a minute`,
  )
}

/** Repairs pairs of archive and record that a killed run left half-swapped. */
export async function mendPairs(store: RotatingStore, folder: string, item: string): Promise<void> {
  for await (const { key } of store.list(`${folder}${item}-`)) {
    const archive = key.endsWith('.sha256.next') ? key.slice(0, -'.sha256.next'.length) : undefined
    if (archive && readArchiveName(item, archive.slice(folder.length))) await store.mend(archive)
  }
}
