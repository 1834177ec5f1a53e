import { shrank, whyShrunken } from '../acceptance.ts'
import type { Survey } from '../capture/capture.ts'
import { type Copy, type KnownCopy, newestAndLater, readCopy } from '../copies.ts'
import { ladder, makeStamp, nameOf, readArchiveName, type StampUnit, stampTime } from '../naming.ts'
import { makeRecord } from '../record.ts'
import { type AppendOnlyStore, type RotatingStore, Rotten, rotates, StoreError } from '../stores/store.ts'
import { bytesInWords, runAgain } from '../text.ts'
import type { JobContext } from './context.ts'
import { type Candidate, refuseTooLarge, type Since } from './increments.ts'
import type { Target } from './plan.ts'
import { nameAlone } from './select.ts'

export type There = Survey & { state: 'there' }

/** A target that needs new content, and the name for it there. */
export interface Writing extends Candidate {
  place: Place
}

/** A free key, or one whose archive is to be replaced. */
export interface Place {
  key: string
  over: boolean
}

/**
 * What to do in one store: nothing, because a copy has the same content under `key`, or a writing. Unchanged
 * content is not written, but on SFS each new day gets its own name for the same bytes, after reading them
 * back: rotation may then remove older ones.
 */
export async function prepare(
  context: JobContext,
  target: Target,
  survey: There,
  isSame: (copy: KnownCopy) => Promise<boolean>,
  warn: (text: string) => void,
): Promise<{ same: KnownCopy; key: string } | Writing> {
  const { now, job } = context
  const store = context.stores.get(target) as AppendOnlyStore
  const room = await store.probe(target.folder)
  if (room.warning !== undefined) warn(room.warning)
  if (rotates(store)) await mendPairs(store, target.folder, job.item)
  const { newest: previous, copies } = await newestSound(context, target)
  const same = previous !== undefined && (await isSame(previous))
  const today = makeStamp(now, target.stamp as StampUnit)
  // Before a name is chosen: unchanged content needs none.
  if (same && (!rotates(store) || previous.stamp.startsWith(today)))
    return { same: previous, key: previous.key }
  const place = await placeFor(store, target, job.item, now, copies)
  if (same && rotates(store) && !place.over) {
    const record = {
      ...previous.record,
      fingerprint: survey.fingerprint,
      time: now,
      archive: nameOf(place.key),
      bytes: previous.bytes as number,
    }
    const rotten = await store.link(previous.key, place.key, makeRecord(record)).catch(ifRotten)
    if (rotten === undefined) return { same: previous, key: place.key }
    warn(`${rotten.message}; storing a whole one instead`)
  }
  refuseShrunkenSources(context, store, previous, survey, place.over)
  const needed = previous?.bytes ?? 0
  if (room.freeBytes !== undefined && room.freeBytes < needed) {
    throw new StoreError(
      `${store.name}: not enough space: ${bytesInWords(room.freeBytes)} free, about ${bytesInWords(needed)} needed. Free some, or enlarge the store`,
    )
  }
  return { target, store, previous, place }
}

/** A copy that must not be carried over into the new day. */
function ifRotten(error: unknown): Rotten {
  if (error instanceof Rotten) return error
  throw error
}

/** The copy to compare with: not found broken by `verify`, and its record gives the item's size. */
export async function newestSound({ job, now, broken, stores }: JobContext, target: Target) {
  const { bucket, folder } = target
  const isBroken = await broken(target.store)
  const counts = (copy: KnownCopy, links: readonly Copy[]) =>
    ![...links, copy].some((one) => isBroken(bucket, one)) && copy.record.adopted === undefined
  return newestAndLater(stores.get(target) as AppendOnlyStore, folder, job.item, now, counts)
}

/** After another run took the name: looks again and chooses the next one. */
export async function elsewhere(context: JobContext, writing: Writing): Promise<Writing> {
  const { store, target } = writing
  const { newest: previous, copies } = await newestSound(context, target)
  return { ...writing, previous, place: await placeFor(store, target, context.job.item, context.now, copies) }
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
    `${store.name}: every name for this minute is taken, and nothing is overwritten. In a minute, ${runAgain()}`,
  )
}

/** Repairs pairs of archive and record that a killed run left half-swapped. */
async function mendPairs(store: RotatingStore, folder: string, item: string): Promise<void> {
  for await (const { key } of store.list(`${folder}${item}-`)) {
    const archive = key.endsWith('.sha256.next') ? key.slice(0, -'.sha256.next'.length) : undefined
    if (archive && readArchiveName(item, archive.slice(folder.length))) await store.mend(archive)
  }
}

/** Law 5: a source with less than half of its previous size fails before anything is sent. */
function refuseShrunkenSources(
  context: JobContext,
  store: AppendOnlyStore,
  previous: KnownCopy | undefined,
  { sources = [], warnings }: There,
  replaces: boolean,
): void {
  // The rest is stored next to the copy that has what hangs now, and never replaces it.
  const hung = new Set(warnings.flatMap(({ kind, path }) => (kind === 'hangs' && !replaces ? path : [])))
  const before = previous?.record.sources?.filter(({ source }) => !hung.has(source))
  const why = context.acceptShrink ? undefined : whyShrunken(sources, before)
  if (why !== undefined) throw shrunken(context, store, why, previous)
}

/** The same for the archive, if records do not give the sources' sizes. */
export function admit(
  context: JobContext,
  { previous, store }: Writing,
  since: Since | undefined,
  bytes: number,
): void {
  if (since !== undefined) {
    refuseTooLarge(since, bytes)
    return
  }
  const before = previous?.record.increment ? 0 : (previous?.bytes ?? 0)
  if (bytes * 2 < before && !context.acceptShrink)
    throw shrunken(context, store, `it ${shrank(before, bytes)}`, previous)
}

function shrunken({ plan, job }: JobContext, store: AppendOnlyStore, why: string, before?: KnownCopy) {
  const remedy = `comfyume-backup ${plan.command} --only ${nameAlone(job.item)} --accept-shrink`
  return new StoreError(
    `${store.name}: ${job.item}: ${why}; ${before?.key} stays the newest. If that is right, run once: ${remedy}`,
  )
}
