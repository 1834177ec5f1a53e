import { type Capture, ChangedWhileRead, type Listing, type Stream } from '../capture/capture.ts'
import {
  type Difference,
  difference,
  type Entry,
  escaped,
  readList,
  readLook,
  UnfitList,
} from '../capture/list.ts'
import { memberPath } from '../capture/listing.ts'
import { type Link, listName, whyWhole } from '../chain.ts'
import type { KnownCopy } from '../copies.ts'
import { readArchiveName, stampTime } from '../naming.ts'
import type { ArchiveRecord } from '../record.ts'
import { type AppendOnlyStore, NoSuchKey, rotates } from '../stores/store.ts'
import type { JobContext } from './context.ts'
import type { Target } from './plan.ts'

/** What chains need to know about a store that is to receive new content. */
export interface Candidate {
  target: Target
  store: AppendOnlyStore
  /** Its newest good copy: all that it builds on is there, and none of it is known to be broken. */
  previous: KnownCopy | undefined
  /** An increment was too large before: do not try again. */
  whole?: true
}

/** One reading of the sources, and the stores it is for. */
export interface Pass<T> {
  into: T[]
  /** What the sources held just before; undefined for items that are always whole. */
  listing?: Listing | undefined
  /** Present if only changes are read. */
  since?: Since
}

/** What an increment builds on, and what it will hold. */
export interface Since {
  base: ArchiveRecord
  /** Its chain, whole archive first, base last. */
  links: Link[]
  found: Difference
  /** Paths in the base's list that are in no archive. */
  unstored: ReadonlySet<string>
  /** Paths to read: changes, and each folder above. Sorted. */
  chosen: string[]
  /** The size of the files among them. */
  bytes: number
}

/** At this size a whole archive is as cheap. And no version takes a smaller one for whole; see chain.ts. */
export class TooLarge extends Error {
  override name = 'TooLarge'
}

export function refuseTooLarge(since: Since, bytes: number): void {
  if (bytes * 2 >= (since.links[0] as Link).bytes) throw new TooLarge(`${bytes} bytes`)
}

/**
 * Groups stores by the reading that serves them: those with the same chain share an increment, all
 * others get a whole one. `same`: stores where nothing changed after all.
 */
export async function passesOf<T extends Candidate>(
  context: JobContext,
  capture: Capture,
  pending: readonly T[],
): Promise<{ passes: Pass<T>[]; same: T[]; failed: [T, unknown][] }> {
  const chained = context.job.increments === true && pending.some(({ store }) => !rotates(store))
  const listing = chained ? await capture.list?.() : undefined
  if (listing === undefined) return { passes: [{ into: [...pending] }], same: [], failed: [] }
  const whole: T[] = []
  const byBase = new Map<string, T[]>()
  for (const one of pending) {
    const base = one.whole || rotates(one.store) ? undefined : one.previous?.record
    if (base?.list === undefined) whole.push(one)
    else {
      // Equal archives may build on others: only the list tells one chain from another.
      const name = `${base.archive} ${base.list.sha256}`
      byBase.set(name, [...(byBase.get(name) ?? []), one])
    }
  }
  const passes: Pass<T>[] = []
  const same: T[] = []
  const failed: [T, unknown][] = []
  for (const group of byBase.values())
    try {
      const since = await sinceBase(context, listing, group)
      if (since === undefined) whole.push(...group)
      else if (since.found.changed.length + since.found.deleted.length === 0) same.push(...group)
      else passes.push({ into: group, listing, since })
    } catch (error) {
      failed.push(...group.map((one): [T, unknown] => [one, error]))
    }
  return { passes: [...(whole.length > 0 ? [{ into: whole, listing }] : []), ...passes], same, failed }
}

/** The changes since these stores' newest archive, by its first readable list; undefined if whole is due. */
async function sinceBase(
  { job, now }: JobContext,
  { entries }: Listing,
  group: readonly Candidate[],
): Promise<Since | undefined> {
  // The one on a local disk is nearest.
  const nearest = group.toSorted(
    (a, b) => Number(b.target.store === 'mello') - Number(a.target.store === 'mello'),
  )
  let unread: unknown
  for (const { store, previous } of nearest) {
    const { key, record } = previous as KnownCopy
    const { list } = record
    if (list === undefined) continue
    const found = difference(entries)
    const unstored = new Set<string>()
    try {
      const head = await readList(
        await store.open(listName(key)),
        { ...record, item: job.item, list },
        (entry) => {
          found.before(entry)
          if (entry.mark === '~') unstored.add(entry.path)
        },
      )
      const links = [...head.links, head.archive]
      if (links.length - 1 !== (record.increment?.link ?? 0)) continue
      const whole = readArchiveName(job.item, links[0]?.archive ?? '')
      if (whole?.kind !== 'dated' || whyWhole(links, stampTime(whole.stamp), now)) return undefined
      const changed = found.end()
      const { chosen, bytes } = choose(entries, changed.changed)
      const inAll = sizeOf(entries)
      if (bytes * 2 > inAll) return undefined
      return { base: record, links, found: changed, unstored, chosen, bytes }
    } catch (error) {
      if (!(error instanceof UnfitList || error instanceof NoSuchKey)) unread = error
    }
  }
  if (unread !== undefined) throw unread
  return undefined
}

const sideOfDatabase = /-(?:wal|journal)$/

/** What to read for these changes: a database with its logs, and the folders above for their times. */
function choose(entries: readonly Entry[], changed: readonly string[]): { chosen: string[]; bytes: number } {
  const chosen = new Set<string>(changed)
  const databases = new Set(changed.map((path) => path.replace(sideOfDatabase, '')))
  let bytes = 0
  for (const { path, look } of entries) {
    if (!chosen.has(path) && databases.has(path.replace(sideOfDatabase, ''))) chosen.add(path)
    if (chosen.has(path)) bytes += sizeOfLook(look)
  }
  for (const path of [...chosen])
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const folder = path.slice(0, end)
      if (chosen.has(folder)) break
      chosen.add(folder)
    }
  return { chosen: [...chosen].sort((a, b) => (a < b ? -1 : 1)), bytes }
}

function sizeOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, { look }) => sum + sizeOfLook(look), 0)
}

function sizeOfLook(look: string): number {
  const { type, size } = readLook(look)
  return type === 'f' ? size : 0
}

/**
 * Throws ChangedWhileRead if a folder replaced something else since the listing, or the reverse: such an
 * archive cannot be unpacked over its base.
 */
export function refuseTorn({ listing }: Pass<unknown>, { members = new Set() }: Stream): void {
  const torn = listing?.entries.find(({ path, look }) =>
    members.has(look.startsWith('d ') ? path : `${path}/`),
  )
  if (torn !== undefined) throw new ChangedWhileRead([escaped(torn.path)])
}

/** The text of the list next to the archive, after the reading. `gone`: sorted. */
export function listAfter(
  { entries }: Listing,
  { members = new Set(), changed }: Pick<Stream, 'members' | 'changed'>,
  since: Since | undefined,
): { entries: Entry[]; gone: string[] } {
  const unsettled = new Set(changed.map((path) => memberPath(path).replace(/\/$/, '')))
  const chosen = since && new Set(since.chosen)
  const replaced = since?.found.replaced ?? new Set()
  const gone = [...(since?.found.deleted ?? [])]
  const stored: Entry[] = []
  for (const entry of entries) {
    const { path, look } = entry
    if (chosen !== undefined && !chosen.has(path))
      stored.push(since?.unstored.has(path) ? { ...entry, mark: '~' } : entry)
    else if (members.has(look.startsWith('d ') ? `${path}/` : path))
      stored.push(unsettled.has(path) ? { ...entry, mark: '?' } : entry)
    else {
      // Files deleted before their reading are in no archive, nor are logs merged into their database.
      if (look.startsWith('s ') || sideOfDatabase.test(path)) stored.push({ ...entry, mark: '~' })
      if (replaced.has(path)) gone.push(path)
    }
  }
  return { entries: stored, gone: gone.sort((a, b) => (a < b ? -1 : 1)) }
}
