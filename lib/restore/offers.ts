import { type Copy, findLatest, listCopies, readCopy } from '../copies.ts'
import type { BucketName, Item } from '../inventory.ts'
import { messageOf } from '../message.ts'
import { stampTime } from '../naming.ts'
import { folderOf } from '../plan.ts'
import { readRecord } from '../record.ts'
import type { Offer } from '../restore-order.ts'
import { smallText } from '../stores/small-text.ts'
import type { AppendOnlyStore } from '../stores/store.ts'
import type { ArchiveSource } from './sources.ts'

/** How many records of an item are read before its newest copies are known: few on SFS are more, on R2 years are. */
const enough = 12

/** `tar -z` of nothing has 45 bytes, of one empty file about a hundred; the older scripts made some from paths that were not there. */
const leastBytes = 64

/**
 * All that a source offers of an item, with the newest records not after `limit` read: below the environment's own folder, and below production's
 * where this is another environment. Throws StoreError when the source fails.
 */
export async function offersOf(
  source: ArchiveSource,
  item: Item,
  environment: string,
  limit: Date,
): Promise<Offer[]> {
  const store = source.store(item.bucket as BucketName)
  const offers: Offer[] = []
  for (const each of new Set([environment, 'production'])) {
    for (const folder of source.folders(folderOf(item, each))) {
      const shelf = { source: source.name, environment: each }
      offers.push(...(await dated(store, folder, item.name, limit, shelf)))
      offers.push(...(await undated(store, folder, item.name, shelf)))
    }
  }
  // In /root/ the folders of two environments are the same one.
  return [...new Map(offers.map((offer) => [offer.key, offer])).values()]
}

type Shelf = Pick<Offer, 'source' | 'environment'>

async function dated(
  store: AppendOnlyStore,
  folder: string,
  item: string,
  limit: Date,
  shelf: Shelf,
): Promise<Offer[]> {
  const copies = await listCopies(store, folder, item)
  const offers: Offer[] = []
  let good = 0
  for (let next = 0; next < copies.length && good === 0; next += enough) {
    const batch = copies.slice(next, next + enough)
    const read = await Promise.all(batch.map((copy) => offerOf(store, copy, limit, shelf)))
    offers.push(...read)
    good += read.filter(
      ({ kind, flaw, time }) => kind === 'recorded' && !flaw && time && time <= limit,
    ).length
  }
  return offers
}

/** Records of copies whose stamp is already later than the limit are not worth reading. */
async function offerOf(store: AppendOnlyStore, copy: Copy, limit: Date, shelf: Shelf): Promise<Offer> {
  const { key, bytes, stamp } = copy
  const recorded = (copy.recordKey ?? copy.nextRecordKey) !== undefined
  const unread: Offer = {
    ...shelf,
    key,
    kind: recorded ? 'recorded' : 'unrecorded',
    time: stampTime(stamp),
    ...(bytes === undefined ? {} : { bytes }),
  }
  if (bytes === undefined) return { ...unread, flaw: 'is gone: only its record is there' }
  if (bytes < leastBytes) return { ...unread, flaw: `has ${bytes} bytes, which is an archive of nothing` }
  if (!recorded || stampTime(stamp) > limit) return unread
  const known = await readCopy(store, copy).catch((error) => error as Error)
  if (known instanceof Error)
    return { ...unread, flaw: `has a record that cannot be read: ${messageOf(known)}` }
  // What waits beside an archive without a record may be another archive's.
  if (known === undefined && copy.recordKey === undefined) return { ...unread, kind: 'unrecorded' }
  if (known === undefined)
    return { ...unread, flaw: 'has a record that cannot be read or speaks of another file' }
  const { record, time, good } = known
  return {
    ...unread,
    time,
    record,
    environment: record.environment ?? shelf.environment,
    ...(good ? {} : { flaw: `has ${bytes} bytes, and its record says ${record.bytes}` }),
  }
}

async function undated(store: AppendOnlyStore, folder: string, item: string, shelf: Shelf): Promise<Offer[]> {
  const latest = await findLatest(store, folder, item)
  if (latest === undefined) return []
  const { key, bytes, modified, recordKey } = latest
  const offer: Offer = { ...shelf, key, kind: 'latest', time: modified, bytes }
  if (bytes < leastBytes) return [{ ...offer, flaw: `has ${bytes} bytes, which is an archive of nothing` }]
  if (recordKey === undefined) return [offer]
  const record = await smallText(store, recordKey).then(
    (text) => readRecord(text ?? ''),
    () => undefined,
  )
  if (record === undefined || (!key.endsWith(`/${record.archive}`) && key !== record.archive))
    return [{ ...offer, flaw: 'has a record that cannot be read or speaks of another file' }]
  return [{ ...offer, record }]
}
