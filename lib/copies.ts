import { sha256Of } from './digest.ts'
import {
  archiveOfRecord,
  compareStamps,
  readArchiveName,
  recordName,
  type Stamp,
  stampTime,
} from './naming.ts'
import { type ArchiveRecord, readRecord } from './record.ts'
import { smallText } from './stores/small-text.ts'
import type { AppendOnlyStore, Entry } from './stores/store.ts'

/** A dated archive of one item in one store, or the record of one whose archive is gone. */
export interface Copy {
  /** Of the archive. */
  key: string
  stamp: Stamp
  /** Of the archive; absent when only its record is there. */
  bytes?: number
  /** Of the record; absent for an archive that has none. */
  recordKey?: string
  /** When the store took the record, by the clock of the store. */
  recordTaken?: Date
  /** Of the record that still waits for its name, because a run was cut off while it put the pair in place. */
  nextRecordKey?: string
}

/** A copy with its record read, and the cheap check made: the archive is there with the size that the record gives. */
export interface KnownCopy extends Copy {
  recordKey: string
  record: ArchiveRecord
  /** The record's; for a record that has none, the start of the stamp's period. */
  time: Date
  good: boolean
}

/** Every dated copy of an item in a store, newest stamp first. What is not exactly this item's is not among them. */
export async function listCopies(store: AppendOnlyStore, folder: string, item: string): Promise<Copy[]> {
  const entries: Entry[] = []
  for await (const entry of store.list(`${folder}${item}-`)) entries.push(entry)
  return copiesAmong(entries, folder, item)
}

/** The same of a listing that is at hand. */
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
    const copy = copyOf(next ?? archive ?? entry.key)
    if (copy && next) copy.nextRecordKey = entry.key
    else if (copy && archive) {
      copy.recordKey = entry.key
      copy.recordTaken = entry.modified
    } else if (copy) copy.bytes = entry.bytes
  }
  // A record that still waits for its name, alone, is of nothing: the next run takes it away.
  const there = [...copies.values()].filter(
    ({ bytes, recordKey }) => bytes !== undefined || recordKey !== undefined,
  )
  return there.sort((a, b) => compareStamps(b.stamp, a.stamp))
}

const NEXT = '.next'

/** The one archive that the older scripts kept of an item, and its record where there is one. */
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

/**
 * Reads the record of a copy: of two, because a run was cut off between an archive and its record, the one that fits. Undefined when it has none, or one that
 * cannot be read or is another archive's.
 */
export async function readCopy(store: AppendOnlyStore, copy: Copy): Promise<KnownCopy | undefined> {
  const half = copy.nextRecordKey && (await readNext(store, copy, copy.nextRecordKey))
  if (half) return half
  if (copy.recordKey === undefined) return undefined
  const text = await smallText(store, copy.recordKey)
  return text === undefined ? undefined : knownCopy(copy, text)
}

/** With the record that waits for its name, when it is that of the archive, which its digest tells. */
async function readNext(store: AppendOnlyStore, copy: Copy, next: string): Promise<KnownCopy | undefined> {
  const recordText = (await smallText(store, next)) ?? ''
  const known = knownCopy({ ...copy, recordKey: recordName(copy.key) }, recordText)
  if (!known?.good) return undefined
  return (await sha256Of(await store.open(copy.key))) === known.record.sha256 ? known : undefined
}

/** The same with the text of its record at hand. */
export function knownCopy(copy: Copy, recordText: string): KnownCopy | undefined {
  const { recordKey } = copy
  const record = readRecord(recordText)
  if (record === undefined || recordKey === undefined) return undefined
  if (recordName(record.archive) !== recordKey.split('/').pop()) return undefined
  const good = copy.bytes !== undefined && (record.bytes === undefined || record.bytes === copy.bytes)
  return { ...copy, recordKey, record, time: record.time ?? stampTime(copy.stamp), good }
}

/**
 * The newest copy, by the time in its record, that passes the cheap check and is not from the future. Within a day the
 * names need not be in the order of the times: the day's own file may be replaced after an hour's was written. `copies`: newest stamp first.
 */
export async function newestGood(
  store: AppendOnlyStore,
  copies: readonly Copy[],
  now: Date,
): Promise<KnownCopy | undefined> {
  let newest: KnownCopy | undefined
  let found = ''
  for (const copy of copies) {
    const { stamp } = copy
    // Those of a day lie together, and no earlier day has anything newer.
    if (stamp.slice(0, dayLength) < found.slice(0, dayLength)) break
    if (stampTime(stamp) > now || stamp < found.slice(0, stamp.length)) continue
    const known = await readCopy(store, copy)
    if (!known?.good || known.time > now || (newest && known.time <= newest.time)) continue
    newest = known
    found = timeText(known.time)
  }
  return newest
}

const dayLength = 'YYYY-MM-DD'.length

/** Whether a time lies in the period that a stamp names; of any year, unlike the times of which names are made. */
export function isWithin(stamp: Stamp, time: Date): boolean {
  return timeText(time).startsWith(stamp)
}

/** Whether the whole period of a stamp is still to come at a time. */
export function isAfter(stamp: Stamp, time: Date): boolean {
  return stamp > timeText(time)
}

function timeText(time: Date): string {
  return time.toISOString().replace(/[T:]/g, '-')
}
