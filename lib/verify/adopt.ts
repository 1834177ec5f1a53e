import { Readable } from 'node:stream'
import { isWithin } from '../copies.ts'
import { type Item, items } from '../inventory.ts'
import { lockScope } from '../lock-scope.ts'
import { takeLocks } from '../locks.ts'
import { recordName, type Stamp, stampTime } from '../naming.ts'
import { hostOf } from '../plan.ts'
import { makeRecord } from '../record.ts'
import type { Settings } from '../settings.ts'
import { KeyExists, StoreError } from '../stores/store.ts'
import { type Archive, lookAgain, type Shelf } from './archives.ts'
import type { Verdict } from './check.ts'

export type Adoptable = Verdict & { status: 'unverified' }

export interface Adopted {
  store: string
  item: string
  key: string
  bytes: number
  sha256: string
  /** ISO, UTC: what the record says. */
  time: string
}

/**
 * Writes the record of an archive that has none and was read to its end. Throws StoreError, and nothing is written, when it is no backup
 * by law 5, when it changed since, and while a backup of its item is under way, which is about to write the record itself.
 */
export async function adopt(
  shelf: Shelf,
  { archive, bytes, sha256, inside }: Adoptable,
  settings: Settings,
  now: Date,
): Promise<Adopted> {
  const item = items.find(({ name }) => name === archive.item) as Item
  const refuse = (why: string) => new StoreError(`${shelf.name}: ${archive.key} is not adopted: ${why}`)
  const time = archive.stamp && timeOfAdopted(archive.stamp, archive.modified as Date, now)
  if (time === undefined) throw refuse('its name is from the future, so a clock was wrong when it was made')
  if (inside === undefined || inside.tar !== undefined)
    throw refuse(`it is no whole tar archive: ${inside?.tar}`)
  if (inside.members === 0) throw refuse('it is empty: it holds no member at all')
  if (inside.missing.length > 0)
    throw refuse(`it is no ${item.name}: no member is ${inside.missing.join(' nor ')}`)

  const record = makeRecord({
    archive: archive.key.slice(archive.key.lastIndexOf('/') + 1),
    item: item.name,
    host: hostOf(item, settings),
    environment: settings.environment,
    time,
    bytes,
    sha256,
    adopted: now,
  })
  const locks = await takeLocks([item.name], lockScope(settings), 'verify')
  try {
    const [busy] = locks.busy.values()
    if (busy !== undefined)
      throw refuse(`${item.name} is being backed up by ${busy}; run it again after that`)
    if (!isAsItWas(archive, await lookAgain(shelf, archive, settings.environment)))
      throw refuse('it changed since it was read; run it again')
    await shelf.store.create(recordName(archive.key), Readable.from([Buffer.from(record)]))
  } catch (error) {
    if (error instanceof KeyExists) throw refuse('it was just given a record')
    throw error
  } finally {
    await locks.release()
  }
  return { store: shelf.name, item: item.name, key: archive.key, bytes, sha256, time: time.toISOString() }
}

/**
 * When the sources of an archive without a record were read, as well as can be known; undefined when its stamp is from the future.
 *
 * The store's own time is that of the end of the writing, so it is close, and never too early: what was restored for a moment before
 * would else hold what came after. But it only counts within the period that the name gives: a copy made later, or a clock that was wrong,
 * has moved it, and a time that does not fit the name would make rotation and restore distrust the record (law 2). Then it is the start of that
 * period, which is what such an archive counted by as long as it had no record: so no adoption puts it before a copy of
 * the same day that a backup wrote. That it takes no other copy's room in rotation is seen to by the record's line `adopted`.
 */
export function timeOfAdopted(stamp: Stamp, modified: Date, now: Date): Date | undefined {
  if (isWithin(stamp, modified) && modified <= now) return modified
  const start = stampTime(stamp)
  return start <= now ? start : undefined
}

function isAsItWas(archive: Archive, now: Archive | undefined): boolean {
  return (
    now?.bytes === archive.bytes && now?.modified?.getTime() === archive.modified?.getTime() && !now?.recorded
  )
}
