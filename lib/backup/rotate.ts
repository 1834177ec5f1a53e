import { type Copy, isWithin, type KnownCopy, readCopy } from '../copies.ts'
import { type KeepRule, type Selection, selectCopies } from '../retention.ts'
import type { RotatingStore } from '../stores/store.ts'
import { unequalSizes } from '../text.ts'

export interface Rotation {
  removed: { key: string; reasons: string[] }[]
  /** What was left alone, for the operator to know. */
  warnings: string[]
}

/** Rotation was refused: nothing was removed, and the operator must check. */
export class RotationRefused extends Error {
  override name = 'RotationRefused'
}

/**
 * Removes what an item's keep rule drops from the SFS cache; call only after its new backup is verified
 * there. Skips archives without a record. If a copy that must stay fails its cheap check, removes nothing
 * (pgBackRest's rule: never expire while the rest may be bad).
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
    known.filter((copy) => timeFitsName(copy) && !datedAhead(copy) && !isPartOfChain(copy, known)),
    rule,
    now,
  )
  const damaged = keep.filter(({ copy }) => !copy.good).map(({ copy }) => damage(copy))
  if (damaged.length > 0) {
    throw new RotationRefused(
      `${store.name}: rotation waits, because a copy that must stay is damaged: ${damaged.join(', ')}. ` +
        'Look at it and move it away together with its .sha256; the next run rotates again',
    )
  }
  const kept = `kept: ${keep.map(({ copy, reasons }) => `${copy.stamp} (${reasons.join(', ')})`).join(', ')}`
  const removed: Rotation['removed'] = []
  for (const { key, recordKey } of drop) {
    // The archive first: the next run removes a leftover record.
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
          `${store.name}: ${key} is dated in the future, because a clock was wrong; it is ignored and stays`,
      ),
      ...strange.map(
        ({ key, time }) =>
          `${store.name}: the record of ${key} is from ${time.toISOString()}, not from the time in its name; it is ignored and stays`,
      ),
      ...known.flatMap(({ key, record: { increment } }) =>
        increment
          ? `${store.name}: ${key} is an increment, which no backup writes here: it and what it builds on stay`
          : [],
      ),
      ...ahead.map(
        ({ key, time, recordTaken }) =>
          `${store.name}: the record of ${key} says ${time.toISOString()}, and the store took it at ${recordTaken?.toISOString()}: the clock of the machine that wrote it ` +
          'was ahead; it is ignored and stays',
      ),
    ],
  }
}

/**
 * Selects among copies by backups only. An adopted archive is whole but unwitnessed: it stays if the rule has
 * room for it, and never takes a backup's place.
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

/** An increment, or a base of one. No run writes these to this store, so they were put there by hand. */
function isPartOfChain({ record }: KnownCopy, known: readonly KnownCopy[]): boolean {
  const isOf = (one: KnownCopy) =>
    [one.record.increment?.whole, one.record.increment?.base.archive].includes(record.archive)
  return record.increment !== undefined || known.some(isOf)
}

/** A time far from the name's is not from a sound run, and must not push sound copies out. */
function timeFitsName({ stamp, time }: KnownCopy): boolean {
  return isWithin(stamp, time)
}

/** Dated after the store took it: a fast clock must not push out earlier copies. */
function datedAhead({ time, recordTaken }: KnownCopy): boolean {
  return recordTaken !== undefined && time.getTime() - recordTaken.getTime() > toleranceMs
}

/** How far the clocks of a machine and its share may differ. */
const toleranceMs = 3_600_000

function timeOf({ time }: KnownCopy): Date {
  return time
}

function damage({ key, bytes, record }: KnownCopy): string {
  return bytes === undefined
    ? `${key} is gone, only its record is there`
    : `${key} has ${unequalSizes(bytes, record.bytes ?? 0).join(', its record says ')}`
}

function inWords(rule: KeepRule): string {
  return (['daily', 'weekly', 'monthly'] as const)
    .flatMap((period) => (rule[period] ? [`${rule[period]} ${period}`] : []))
    .join(', ')
}
