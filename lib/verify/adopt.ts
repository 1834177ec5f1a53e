import { Readable } from 'node:stream'
import { keystonesOf, whyNoSuccessor, whyWorthlessText } from '../acceptance.ts'
import { locksOf, takeLocks } from '../backup/locks.ts'
import { folderOf, hostOf } from '../backup/plan.ts'
import { isIncrement } from '../capture/list.ts'
import { type KnownCopy, listCopies, newestGood, timeOfAdopted } from '../copies.ts'
import { type Item, items } from '../inventory.ts'
import { nameOf, recordName } from '../naming.ts'
import { makeRecord } from '../record.ts'
import { memberText } from '../restore/plan/offers.ts'
import type { Settings } from '../settings/settings.ts'
import { KeyExists, StoreError } from '../stores/store.ts'
import { runAgain } from '../text.ts'
import { type Verdict, whyWorthlessInside } from './check.ts'
import { type Archive, lookAgain, type Shelf } from './survey.ts'

export type Adoptable = Verdict & { status: 'unverified' }

export interface Adopted {
  store: string
  item: string
  key: string
  bytes: number
  sha256: string
  /** ISO, UTC: the record's time. */
  time: string
}

/**
 * Writes the record of an archive without one that was read to its end. Writes nothing for an archive that is
 * no backup (law 5): `refused` says why. Throws StoreError if it has changed since, or while a backup of its
 * item is running, which is about to write the record itself.
 */
export async function adopt(
  shelf: Shelf,
  { archive, bytes, sha256, inside }: Adoptable,
  settings: Settings,
  now: Date,
): Promise<Adopted | { refused: string }> {
  const item = items.find(({ name }) => name === archive.item) as Item
  const time = archive.stamp && timeOfAdopted(archive.stamp, archive.modified as Date, now)
  if (time === undefined)
    return { refused: 'its name is from the future, so a clock was wrong when it was made' }
  const refused =
    (inside && whyWorthlessInside(inside)) ??
    (await whyIncrement(shelf, archive)) ??
    (await whyKeystone(shelf, archive, item)) ??
    (await whyLess(shelf, archive, item, time, settings.environment))
  if (refused !== undefined) return { refused }

  const refuse = (why: string) => new StoreError(`${shelf.name}: ${archive.key} is not adopted: ${why}`)
  const record = makeRecord({
    archive: nameOf(archive.key),
    item: item.name,
    host: hostOf(item, settings),
    environment: settings.environment,
    time,
    bytes,
    sha256,
    adopted: now,
  })
  const wanted = locksOf(
    [{ item: item.name, targets: [{ store: shelf.name, bucket: shelf.bucket }] }],
    settings,
  )
  const locks = await takeLocks(wanted, 'verify')
  try {
    const [busy] = locks.busy.values()
    if (busy !== undefined)
      throw refuse(`${item.name} is being backed up by ${busy}. After that, ${runAgain()}`)
    if (!isAsItWas(archive, await lookAgain(shelf, archive, settings.environment)))
      throw refuse(`it changed since it was read: ${runAgain()}`)
    await shelf.store.create(recordName(archive.key), Readable.from([Buffer.from(record)]))
  } catch (error) {
    if (error instanceof KeyExists) throw refuse('it was just given a record')
    throw error
  } finally {
    await locks.release()
  }
  return { store: shelf.name, item: item.name, key: archive.key, bytes, sha256, time: time.toISOString() }
}

/** An increment is no backup without what it builds on, and only its record named that. */
async function whyIncrement({ store }: Shelf, { key }: Archive): Promise<string | undefined> {
  const is = await isIncrement(await store.open(key))
  return is
    ? 'it is an increment, and what it builds on is unknown; the next backup holds its files'
    : undefined
}

/** Why a file that decides about its item makes it worthless. Found by name: older archives' paths differ. */
async function whyKeystone(
  { store }: Shelf,
  { key }: Archive,
  { capture }: Item,
): Promise<string | undefined> {
  if (capture.kind !== 'files') return undefined
  for (const keystone of keystonesOf(capture.sources)) {
    const name = nameOf(keystone.file)
    const flaw = whyWorthlessText(keystone, (await memberText(await store.open(key), `*${name}`)) ?? '')
    if (flaw !== undefined) return flaw
  }
  return undefined
}

/** Law 5, compared with the copy before: a much smaller one may be wrong and must not become the newest. */
async function whyLess(
  { store }: Shelf,
  { key, bytes = 0 }: Archive,
  item: Item,
  time: Date,
  environment: string,
): Promise<string | undefined> {
  const copies = await listCopies(store, folderOf(item, environment), item.name)
  // An increment's size says nothing about the item.
  const counts = ({ key: name, record }: KnownCopy) => !record.adopted && !record.increment && name !== key
  const before = await newestGood(store, copies, time, counts)
  return whyNoSuccessor(bytes, before)
}

function isAsItWas(archive: Archive, now: Archive | undefined): boolean {
  return (
    now?.bytes === archive.bytes && now?.modified?.getTime() === archive.modified?.getTime() && !now?.recorded
  )
}
