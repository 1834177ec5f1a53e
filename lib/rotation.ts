import { type Copy, isWithin, type KnownCopy, readCopy } from './copies.ts'
import { type KeepRule, type Selection, selectCopies } from './retention.ts'
import type { RotatingStore } from './stores/store.ts'

export interface Rotation {
  removed: { key: string; reasons: string[] }[]
  /** What was left alone and should be known. */
  warnings: string[]
}

/** Rotation was refused: nothing was removed, and a person has to look. */
export class RotationRefused extends Error {
  override name = 'RotationRefused'
}

/**
 * Removes from the SFS cache what an item's keep rule does not keep. To be called only after the item's new backup was
 * verified there. Archives without a record are not touched. When a copy that must stay fails its cheap check, nothing
 * is removed (pgBackRest's rule: never expire while what is left may be bad).
 */
export async function rotate(
  store: RotatingStore,
  copies: readonly Copy[],
  rule: KeepRule,
  now: Date,
): Promise<Rotation> {
  const known = (await Promise.all(copies.map((copy) => readCopy(store, copy)))).filter(
    (copy) => copy !== undefined,
  )
  const { keep, drop, future } = select(
    known.filter((copy) => timeFitsName(copy) && !datedAhead(copy)),
    rule,
    now,
  )
  const damaged = keep.filter(({ copy }) => !copy.good).map(({ copy }) => damage(copy))
  if (damaged.length > 0) {
    throw new RotationRefused(
      `${store.name}: nothing is rotated away while a copy that must stay is damaged: ${damaged.join(', ')}. ` +
        'Look at it, move it away together with its .sha256, and the next run rotates again',
    )
  }
  const kept = `kept are ${keep.map(({ copy, reasons }) => `${copy.stamp} (${reasons.join(', ')})`).join(', ')}`
  const removed: Rotation['removed'] = []
  for (const { key, recordKey } of drop) {
    // The archive first: a record that is left over is dropped by the next run.
    await store.remove(key)
    await store.remove(recordKey)
    removed.push({ key, reasons: [`not among ${inWords(rule)}`, kept] })
  }
  const strange = known.filter((copy) => !timeFitsName(copy))
  const ahead = known.filter((copy) => datedAhead(copy) && timeFitsName(copy) && copy.time <= now)
  return {
    removed,
    warnings: [
      ...future.map(
        ({ key }) =>
          `${store.name}: ${key} is from the future: a clock was wrong; it counts for nothing and stays`,
      ),
      ...strange.map(
        ({ key, time }) =>
          `${store.name}: the record of ${key} is from ${time.toISOString()}, not from the time in its name; it counts for nothing and stays`,
      ),
      ...ahead.map(
        ({ key, time, recordTaken }) =>
          `${store.name}: the record of ${key} says ${time.toISOString()}, and the store took it at ${recordTaken?.toISOString()}: the clock of the machine that wrote it ` +
          'was ahead; it counts for nothing and stays',
      ),
    ],
  }
}

/**
 * What a backup wrote is chosen among its like alone. An archive whose record was only written later, by `verify --adopt`, is whole, but
 * nobody saw it being made: it stays where the rule has room for it, and takes the room of none that a backup wrote.
 */
function select(copies: readonly KnownCopy[], rule: KeepRule, now: Date): Selection<KnownCopy> {
  const isAdopted = ({ record }: KnownCopy) => record.adopted !== undefined
  const all = selectCopies(copies, timeOf, rule, now)
  const own = selectCopies(
    copies.filter((copy) => !isAdopted(copy)),
    timeOf,
    rule,
    now,
  )
  return {
    keep: [...own.keep, ...all.keep.filter(({ copy }) => isAdopted(copy))],
    drop: [...own.drop, ...all.drop.filter(isAdopted)],
    future: all.future,
  }
}

/** A time that is far from the name's was not made by a sound run, and must not push sound copies out. */
function timeFitsName({ stamp, time }: KnownCopy): boolean {
  return isWithin(stamp, time)
}

/** Dated later than the store took it: a clock that is ahead must not push out what was made before, and to itself nothing that it writes is from the future. */
function datedAhead({ time, recordTaken }: KnownCopy): boolean {
  return recordTaken !== undefined && time.getTime() - recordTaken.getTime() > toleranceMs
}

/** The clocks of a machine and of its share may differ by so much. */
const toleranceMs = 3_600_000

function timeOf({ time }: KnownCopy): Date {
  return time
}

function damage({ key, bytes, record }: KnownCopy): string {
  return bytes === undefined
    ? `${key} is gone, only its record is there`
    : `${key} has ${bytes} bytes, its record says ${record.bytes}`
}

function inWords(rule: KeepRule): string {
  return (['daily', 'weekly', 'monthly'] as const)
    .flatMap((period) => (rule[period] ? [`${rule[period]} ${period}`] : []))
    .join(', ')
}
