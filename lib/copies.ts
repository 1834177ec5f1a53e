import {
  archiveOfRecord,
  compareStamps,
  readArchiveName,
  recordName,
  type Stamp,
  stampTime,
} from './naming.ts'
import { type ArchiveRecord, readRecord } from './record.ts'
import { readSmall } from './stores/small-text.ts'
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
  entries: Iterable<Pick<Entry, 'key' | 'bytes'>>,
  folder: string,
  item: string,
): Copy[] {
  const copies = new Map<string, Copy>()
  const copyOf = (key: string): Copy | undefined => {
    const name = key.startsWith(folder) ? readArchiveName(item, key.slice(folder.length)) : undefined
    if (name?.kind !== 'dated') return undefined
    const copy = copies.get(key) ?? { key, stamp: name.stamp }
    copies.set(key, copy)
    return copy
  }
  for (const entry of entries) {
    const archive = archiveOfRecord(entry.key)
    const copy = copyOf(archive ?? entry.key)
    if (copy && archive) copy.recordKey = entry.key
    else if (copy) copy.bytes = entry.bytes
  }
  return [...copies.values()].sort((a, b) => compareStamps(b.stamp, a.stamp))
}

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

/** Reads the record of a copy. Undefined when it has none, or one that cannot be read or is another archive's. */
export async function readCopy(store: AppendOnlyStore, copy: Copy): Promise<KnownCopy | undefined> {
  if (copy.recordKey === undefined) return undefined
  return knownCopy(copy, await readSmall(store, copy.recordKey))
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
 * names need not be in the order of the times: the day's own file may be replaced after an hour's was written.
 */
export async function newestGood(
  store: AppendOnlyStore,
  copies: readonly Copy[],
  now: Date,
): Promise<KnownCopy | undefined> {
  let newest: KnownCopy | undefined
  for (const copy of copies) {
    if (stampTime(copy.stamp) > now || (newest && isBefore(copy.stamp, newest.time))) continue
    const known = await readCopy(store, copy)
    if (known?.good && known.time <= now && !(newest && known.time <= newest.time)) newest = known
  }
  return newest
}

/** Whether the whole period of a stamp is over at a time. */
function isBefore(stamp: Stamp, time: Date): boolean {
  return stamp < timeText(time).slice(0, stamp.length)
}

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
