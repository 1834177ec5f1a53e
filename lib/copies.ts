import { type ListHead, readHead } from './capture/list.ts'
import { archiveOfList, bounds, type Link, listName } from './chain.ts'
import {
  archiveOfRecord,
  compareStamps,
  modelBehind,
  nameOf,
  readArchiveName,
  recordName,
  type Stamp,
  stampTime,
} from './naming.ts'
import { type ArchiveRecord, readRecord } from './record.ts'
import { sha256Of } from './stores/digests.ts'
import { type AppendOnlyStore, type Entry, smallText } from './stores/store.ts'
import { messageOf, unequalSizes } from './text.ts'

/** A dated archive of one item in one store, or the record of a missing one. */
export interface Copy {
  /** The archive's. */
  key: string
  stamp: Stamp
  /** The archive's; absent if only its record exists. */
  bytes?: number
  /** When the store took the archive, by the store's clock. */
  modified?: Date
  /** The record's; absent for an archive without one. */
  recordKey?: string
  /** When the store took the record, by the store's clock. */
  recordTaken?: Date
  /** The list of all that the item held; see chain.ts. */
  listKey?: string
  /** The record still waiting for its name, because a run was interrupted while it put the pair in place. */
  nextRecordKey?: string
}

/** A copy with its record read that passed the cheap check: the archive exists with the recorded size. */
export interface KnownCopy extends Copy {
  recordKey: string
  record: ArchiveRecord
  /** From the record; without one, the start of the stamp's period. */
  time: Date
  good: boolean
}

/**
 * Every dated copy of an item in a store, newest stamp first. Skips names that are not exactly its own.
 * `since`: only names that sort after it; a stamp starts with the century.
 */
export async function listCopies(
  store: AppendOnlyStore,
  folder: string,
  item: string,
  since?: Date,
): Promise<Copy[]> {
  const entries: Entry[] = []
  const dated = `${folder}${item}-`
  const after = since && dated + timeText(since).slice(0, dayLength)
  for await (const entry of store.list(`${dated}20`, { after })) entries.push(entry)
  return copiesAmong(entries, folder, item)
}

/** Looks this many days back first, with bases. Only if no copy there is good, lists everything. */
const daysBack = [bounds.days + 1, 60]

/**
 * The newest good copy (see newestGood), and all copies from its day on, newest stamp first. Its cost does
 * not grow with history: names sort by time, so the listing starts a few days back.
 */
export async function newestAndLater(
  store: AppendOnlyStore,
  folder: string,
  item: string,
  now: Date,
  counts: Counts = () => true,
): Promise<{ newest: KnownCopy | undefined; copies: Copy[] }> {
  for (const days of daysBack) {
    const copies = await listCopies(store, folder, item, new Date(now.getTime() - days * 24 * 3600 * 1000))
    const newest = await newestGood(store, copies, now, counts)
    if (newest) return { newest, copies }
  }
  const copies = await listCopies(store, folder, item)
  return { newest: await newestGood(store, copies, now, counts), copies }
}

/** The same for a listing already read. */
export function copiesAmong(
  entries: Iterable<Pick<Entry, 'key' | 'bytes' | 'modified'>>,
  folder: string,
  item: string,
): Copy[] {
  const copies = new Map<string, Copy>()
  const copyOf = (key: string): Copy | undefined => {
    const known = copies.get(key)
    if (known) return known
    const name = key.startsWith(folder) ? readArchiveName(item, key.slice(folder.length)) : undefined
    if (name?.kind !== 'dated') return undefined
    const copy: Copy = { key, stamp: name.stamp }
    copies.set(key, copy)
    return copy
  }
  for (const entry of entries) {
    const next = entry.key.endsWith(NEXT) ? archiveOfRecord(entry.key.slice(0, -NEXT.length)) : undefined
    const archive = archiveOfRecord(entry.key)
    const listed = archiveOfList(entry.key)
    const copy = copyOf(next ?? archive ?? listed ?? entry.key)
    if (copy && next) copy.nextRecordKey = entry.key
    else if (copy && listed) copy.listKey = entry.key
    else if (copy && archive) {
      copy.recordKey = entry.key
      copy.recordTaken = entry.modified
    } else if (copy) {
      copy.bytes = entry.bytes
      copy.modified = entry.modified
    }
  }
  // A waiting record alone belongs to nothing, and the next run removes it; a list alone is no copy either.
  const there = [...copies.values()].filter(
    ({ bytes, recordKey }) => bytes !== undefined || recordKey !== undefined,
  )
  return there.sort((a, b) => compareStamps(b.stamp, a.stamp))
}

const NEXT = '.next'

/** The one archive that the older scripts kept of an item, and its record if it has one. */
export async function findLatest(
  store: AppendOnlyStore,
  folder: string,
  item: string,
): Promise<(Entry & { recordKey?: string }) | undefined> {
  const key = `${folder}${item}-latest.tar.gz`
  let latest: (Entry & { recordKey?: string }) | undefined
  for await (const entry of store.list(key)) {
    if (entry.key === key) latest = entry
    else if (latest && entry.key === recordName(key)) latest.recordKey = entry.key
  }
  return latest
}

/** A copy's record; of two (an interrupted run), the one that fits. Undefined without a readable one. */
export async function readCopy(store: AppendOnlyStore, copy: Copy): Promise<KnownCopy | undefined> {
  const half = copy.nextRecordKey && (await readNext(store, copy, copy.nextRecordKey))
  if (half) return half
  if (copy.recordKey === undefined) return undefined
  const text = await smallText(store, copy.recordKey)
  return text === undefined ? undefined : knownCopy(copy, text)
}

/** With the waiting record, if its digest is the archive's. */
async function readNext(store: AppendOnlyStore, copy: Copy, next: string): Promise<KnownCopy | undefined> {
  const recordText = (await smallText(store, next)) ?? ''
  const known = knownCopy({ ...copy, recordKey: recordName(copy.key) }, recordText)
  if (!known?.good) return undefined
  return (await sha256Of(await store.open(copy.key))) === known.record.sha256 ? known : undefined
}

/** The same with the record's text already read. */
export function knownCopy(copy: Copy, recordText: string): KnownCopy | undefined {
  const { recordKey } = copy
  const record = readRecord(recordText)
  if (record === undefined || recordKey === undefined) return undefined
  if (recordName(record.archive) !== nameOf(recordKey)) return undefined
  const good = copy.bytes !== undefined && (record.bytes === undefined || record.bytes === copy.bytes)
  return { ...copy, recordKey, record, time: record.time ?? stampTime(copy.stamp), good }
}

/** Whether a copy may be the answer; `links`: what it builds on, whole first. */
export type Counts = (copy: KnownCopy, links: readonly Copy[]) => boolean

/**
 * The newest copy by record time that passes the cheap check, with all it builds on, and is not from the
 * future. Within a day names may not be in order of time: a later run may replace the day's own file.
 * `copies`: newest stamp first.
 */
export async function newestGood(
  store: AppendOnlyStore,
  copies: readonly Copy[],
  now: Date,
  counts: Counts = () => true,
): Promise<KnownCopy | undefined> {
  let newest: KnownCopy | undefined
  let found = ''
  for (const copy of copies) {
    const { stamp } = copy
    // No earlier day has anything newer.
    if (stamp.slice(0, dayLength) < found.slice(0, dayLength)) break
    if (stampTime(stamp) > now || stamp < found.slice(0, stamp.length)) continue
    const known = await readCopy(store, copy)
    if (!known?.good || known.time > now || (newest && known.time <= newest.time)) continue
    const links = await linksOf(store, copies, known)
    if (links === undefined || !counts(known, links)) continue
    newest = known
    found = timeText(known.time)
  }
  return newest
}

const dayLength = 'YYYY-MM-DD'.length

/**
 * What a copy builds on, from one request for its list; empty for a whole one. Undefined if one of them is
 * missing from the listing, or has another size or no record.
 */
async function linksOf(
  store: AppendOnlyStore,
  copies: readonly Copy[],
  { key, record }: KnownCopy,
): Promise<Copy[] | undefined> {
  if (record.increment === undefined) return []
  const head = await store
    .open(listName(key))
    .then(readHead)
    .catch(() => undefined)
  const chain = head && chainAmong(head, record, copies)
  return chain?.lost === undefined ? chain?.links : undefined
}

/** The same with the head of its list read; `lost`: the first missing or different one, or the list. */
export function chainAmong(
  { archive, links }: ListHead,
  { archive: name, sha256, increment }: ArchiveRecord,
  copies: readonly Copy[],
  isBroken: (copy: Copy) => boolean = () => false,
): { links: Copy[]; lost?: string } {
  if (archive.sha256 !== sha256 || links.at(-1)?.sha256 !== increment?.base.sha256)
    return { links: [], lost: listName(name) }
  const found: Copy[] = []
  for (const link of links) {
    const copy = copies.find((one) => isLink(one, link))
    if (copy === undefined || isBroken(copy)) return { links: found, lost: link.archive }
    found.push(copy)
  }
  return { links: found }
}

/** Whether a copy is as a list of its chain names it. */
function isLink({ key, bytes, recordKey }: Copy, link: Link): boolean {
  return nameOf(key) === link.archive && bytes === link.bytes && recordKey !== undefined
}

/** Whether a time is within a stamp's period; any year, unlike times in names. */
export function isWithin(stamp: Stamp, time: Date): boolean {
  return timeText(time).startsWith(stamp)
}

/**
 * When the sources of an archive without a record were read, as well as can be known; undefined if its stamp
 * is in the future. It is the store's time (the end of writing, so never too early) if that is within the
 * stamp's period, since rotation and restore distrust others (law 2); otherwise the period's start.
 */
export function timeOfAdopted(stamp: Stamp, modified: Date, now: Date): Date | undefined {
  if (isWithin(stamp, modified) && modified <= now) return modified
  const start = stampTime(stamp)
  return start <= now ? start : undefined
}

/** Whether a stamp's whole period is still in the future. */
export function isAfter(stamp: Stamp, time: Date): boolean {
  return stamp > timeText(time)
}

function timeText(time: Date): string {
  return time.toISOString().replace(/[T:]/g, '-')
}

/**
 * One content of a model in a store. The first has the model's own name; later ones have a date in their
 * name, and a record with the model's path.
 */
export interface ModelCopy {
  key: string
  bytes: number
  /** From the record; without one, when the store took it. */
  time: Date
  /** When the store took it. */
  modified: Date
  recorded: boolean
  record?: ArchiveRecord
  /** What the record or listing has against it; then it does not count. */
  flaw?: string
  /** Why its record could not be read. */
  error?: string
}

/** Which paths are models: folders of the inventory, and the extension. */
export interface ModelPaths {
  folders: readonly string[]
  extension: string
}

/** Listings are untrusted: a path outside the folders, or leading out of them, is no model. */
export function isModelPath(path: string, { folders, extension }: ModelPaths): boolean {
  const parts = path.split('/')
  const inFolder = parts.length > 1 && folders.includes(parts[0] as string)
  return inFolder && path.endsWith(extension) && !parts.some((part) => ['', '.', '..'].includes(part))
}

/**
 * Every content of every model below a store's `folder`, by model path. With `times`, reads all records for
 * their times; otherwise only where a model has more than one content.
 */
export async function listModelCopies(
  store: AppendOnlyStore,
  folder: string,
  paths: ModelPaths,
  times: boolean,
): Promise<Map<string, ModelCopy[]>> {
  const found: Entry[] = []
  const records = new Set<string>()
  for await (const entry of store.list(folder)) {
    if (archiveOfRecord(entry.key) !== undefined) records.add(entry.key)
    else if (isModelPath(entry.key.slice(folder.length), paths)) found.push(entry)
  }
  // Most models have one content, so their records need not be read.
  const several = new Set(found.flatMap(({ key }) => modelBehind(key) ?? []))
  const isWanted = (key: string) => times || several.has(key) || several.has(modelBehind(key) ?? '')
  const copies = new Map<string, ModelCopy[]>()
  for (let at = 0; at < found.length; at += recordsAtOnce) {
    const batch = found.slice(at, at + recordsAtOnce)
    for (const copy of await Promise.all(
      batch.map((entry) =>
        readModelCopy(store, entry, records.has(recordName(entry.key)), isWanted(entry.key)),
      ),
    )) {
      const { original } = copy.record ?? {}
      const model = original && isModelPath(original, paths) ? original : copy.key.slice(folder.length)
      copies.set(model, [...(copies.get(model) ?? []), copy])
    }
  }
  return copies
}

const recordsAtOnce = 16

async function readModelCopy(
  store: AppendOnlyStore,
  { key, bytes, modified }: Entry,
  recorded: boolean,
  read: boolean,
): Promise<ModelCopy> {
  const copy: ModelCopy = { key, bytes, modified, time: modified, recorded }
  if (!recorded || !read) return copy
  try {
    const record = readRecord((await smallText(store, recordName(key))) ?? '')
    const flaw = modelFlaw(copy, record)
    return { ...copy, record, time: record?.time ?? modified, flaw }
  } catch (error) {
    return { ...copy, error: messageOf(error) }
  }
}

/** Why a model's record does not match it; undefined if it does. */
export function modelFlaw(
  { key, bytes }: Pick<ModelCopy, 'key' | 'bytes'>,
  record: ArchiveRecord | undefined,
): string | undefined {
  if (record === undefined) return 'its record cannot be read'
  if (record.archive !== nameOf(key)) return `its record is that of ${record.archive}`
  if (record.bytes === undefined || record.bytes === bytes) return undefined
  const [is, recorded] = unequalSizes(bytes, record.bytes)
  return `it has ${is}, its record says ${recorded}`
}

/** A model's newest content, no later than a time. */
export function newestModelCopy(copies: readonly ModelCopy[] = [], limit?: Date): ModelCopy | undefined {
  const then = copies.filter(({ time }) => limit === undefined || time <= limit)
  return then.reduce<ModelCopy | undefined>((a, b) => (a && a.time > b.time ? a : b), undefined)
}

/**
 * The copies that serve a restore, best first: the newest content no later than a time, with its other copies
 * of any time. `isSound`: no known problem. If every copy of the newest content is broken, the newest sound
 * copy comes first.
 */
export function servingModelCopies(
  copies: readonly ModelCopy[],
  limit: Date | undefined,
  isSound: (copy: ModelCopy) => boolean,
): ModelCopy[] {
  const newest = newestModelCopy(copies, limit)
  if (newest === undefined) return []
  const sha256 = newest.record?.sha256
  const alike = copies.filter((copy) => copy === newest || (sha256 && copy.record?.sha256 === sha256))
  const sound = alike.filter(isSound)
  const older = sound.length > 0 ? undefined : newestModelCopy(copies.filter(isSound), limit)
  return [...(older ? [older] : sound), ...alike.filter((copy) => !sound.includes(copy))]
}
