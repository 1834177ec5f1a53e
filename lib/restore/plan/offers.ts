import path from 'node:path'
import type { Readable } from 'node:stream'
import { keystonesOf, whyWorthlessText } from '../../acceptance.ts'
import { folderOf } from '../../backup/plan.ts'
import { boundMemory, chooseDecompressor } from '../../capture/compressor.ts'
import { isIncrement } from '../../capture/list.ts'
import { type Copy, findLatest, listCopies, readCopy } from '../../copies.ts'
import { bash, run } from '../../hosts/process.ts'
import type { BucketName, Item } from '../../inventory.ts'
import { compareStamps, readArchiveName, stampTime } from '../../naming.ts'
import { readRecord } from '../../record.ts'
import type { Offer } from '../../restore-order.ts'
import { type AppendOnlyStore, smallText } from '../../stores/store.ts'
import { messageOf } from '../../text.ts'
import { type Elsewhere, followChains } from './chains.ts'
import type { ArchiveSource } from './sources.ts'

/** How many of an item's records to read for its newest copies: SFS rarely has more, R2 has years. */
const enough = 12

/** `tar -z` of nothing has 45 bytes, of an empty file about 100. The older scripts made such archives. */
const leastBytes = 64

/**
 * All copies of an item in a source, with the newest records up to `limit` read. Outside production, looks in
 * production's folder too. Throws StoreError when the source fails.
 */
export async function offersOf(
  source: ArchiveSource,
  item: Item,
  environment: string,
  limit: Date,
  elsewhere: Elsewhere = async () => undefined,
): Promise<Offer[]> {
  const store = source.store(item.bucket as BucketName)
  const offers: Offer[] = []
  for (const each of new Set([environment, 'production'])) {
    for (const folder of source.folders(folderOf(item, each))) {
      const shelf = { source: source.name, environment: each }
      offers.push(...(await followChains(await dated(store, folder, item, limit, shelf), elsewhere)))
      offers.push(...(await undated(store, folder, item.name, shelf)))
    }
  }
  // In /root, two environments share a folder.
  return [...new Map(offers.map((offer) => [offer.key, offer])).values()]
}

type Shelf = Pick<Offer, 'source' | 'environment'>

async function dated(
  store: AppendOnlyStore,
  folder: string,
  item: Item,
  limit: Date,
  shelf: Shelf,
): Promise<Offer[]> {
  const copies = await listCopies(store, folder, item.name)
  const offers: Offer[] = []
  let good = 0
  // Read all that an increment builds on, and one chain before: it serves if this one is broken.
  const chains = new Set<string>()
  let end = 0
  for (let next = 0; next < copies.length && (good === 0 || next < end); next += enough) {
    const batch = copies.slice(next, next + enough)
    const read = await Promise.all(batch.map((copy) => offerOf(store, item, copy, limit, shelf)))
    offers.push(...read)
    good += read.filter(
      ({ kind, flaw, time }) => kind === 'recorded' && !flaw && time && time <= limit,
    ).length
    for (const { record } of read) {
      const whole = record?.increment?.whole
      if (whole === undefined || chains.size === 2 || chains.has(whole)) continue
      end = Math.max(end, placeOf(copies, item.name, whole) + (chains.size === 0 ? 2 : 1))
      chains.add(whole)
    }
  }
  return offers
}

/** The index of an archive of that name, present or not, among copies sorted newest first. */
function placeOf(copies: readonly Copy[], item: string, archive: string): number {
  const name = readArchiveName(item, archive)
  const place = copies.findIndex(
    ({ stamp }) => name?.kind === 'dated' && compareStamps(stamp, name.stamp) <= 0,
  )
  return place === -1 ? copies.length : place
}

/** Skips the records of copies whose stamp is later than the limit. */
async function offerOf(
  store: AppendOnlyStore,
  item: Item,
  copy: Copy,
  limit: Date,
  shelf: Shelf,
): Promise<Offer> {
  const { key, bytes, stamp } = copy
  const recorded = (copy.recordKey ?? copy.nextRecordKey) !== undefined
  const unread: Offer = {
    ...shelf,
    key,
    kind: recorded ? 'recorded' : 'unrecorded',
    time: stampTime(stamp),
    bytes,
  }
  if (bytes === undefined) return { ...unread, flaw: 'is gone: only its record is there' }
  if (bytes < leastBytes) return { ...unread, flaw: `has ${bytes} bytes: an empty archive` }
  if (stampTime(stamp) > limit) return unread
  if (!recorded) return (await saysIncrement(store, key)) ? { ...unread, flaw: lostIncrement } : unread
  const known = await readCopy(store, copy).catch((error) => error as Error)
  if (known instanceof Error)
    return { ...unread, flaw: `has a record that cannot be read: ${messageOf(known)}` }
  // A pending record next to an archive without one may belong to another archive.
  if (known === undefined && copy.recordKey === undefined) return { ...unread, kind: 'unrecorded' }
  if (known === undefined)
    return { ...unread, flaw: 'has a record that cannot be read or names another file' }
  const { record, time, good } = known
  const flaw = good
    ? await keystoneFlaw(store, item, key)
    : `has ${bytes} bytes, and its record says ${record.bytes}`
  return {
    ...unread,
    time,
    record,
    environment: record.environment ?? shelf.environment,
    flaw,
  }
}

const lostIncrement = 'is an increment without a record, so what it builds on is unknown'

/** The run deals with what cannot be read here. */
function saysIncrement(store: AppendOnlyStore, key: string): Promise<boolean> {
  return store
    .open(key)
    .then(isIncrement)
    .catch(() => false)
}

/** Keeps copies that the run would find worthless out of the plan. The run deals with unreadable ones. */
async function keystoneFlaw(
  store: AppendOnlyStore,
  { capture }: Item,
  key: string,
): Promise<string | undefined> {
  for (const keystone of capture.kind === 'files' ? keystonesOf(capture.sources) : []) {
    const archive = await store.open(key).catch(() => undefined)
    if (archive === undefined) return undefined
    const text = await memberText(archive, `*/${path.posix.basename(keystone.file)}`)
    const flaw = text === undefined ? undefined : whyWorthlessText(keystone, text)
    if (flaw !== undefined) return `is not a backup: ${flaw}`
  }
  return undefined
}

/** The text of the member that matches a pattern; undefined if none does, or the archive cannot be read. */
export async function memberText(archive: Readable, pattern: string): Promise<string | undefined> {
  const { exitCode, stdout } = await run(bash(printMember, [pattern]), { input: archive })
  return exitCode === 0 ? stdout : undefined
}

/** Argument: a pattern for the member, whose path may differ in the older scripts' archives. */
const printMember = `
${chooseDecompressor}
"\${decompressor[@]}" | (${boundMemory}; exec tar --extract --to-stdout --file=- --wildcards "$1")
`

async function undated(store: AppendOnlyStore, folder: string, item: string, shelf: Shelf): Promise<Offer[]> {
  const latest = await findLatest(store, folder, item)
  if (latest === undefined) return []
  const { key, bytes, modified, recordKey } = latest
  const offer: Offer = { ...shelf, key, kind: 'latest', time: modified, bytes }
  if (bytes < leastBytes) return [{ ...offer, flaw: `has ${bytes} bytes: an empty archive` }]
  if (recordKey === undefined) return [offer]
  const record = await smallText(store, recordKey).then(
    (text) => readRecord(text ?? ''),
    () => undefined,
  )
  if (record === undefined || (!key.endsWith(`/${record.archive}`) && key !== record.archive))
    return [{ ...offer, flaw: 'has a record that cannot be read or names another file' }]
  return [{ ...offer, record }]
}
