import { type Copy, isWithin, type KnownCopy, readCopy } from './copies.ts'
import { type KeepRule, selectCopies } from './retention.ts'
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
  const { keep, drop, future } = selectCopies(known.filter(timeFitsName), timeOf, rule, now)
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
    if (recordKey !== undefined) await store.remove(recordKey)
    removed.push({ key, reasons: [`not among ${inWords(rule)}`, kept] })
  }
  const strange = known.filter((copy) => !timeFitsName(copy))
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
    ],
  }
}

/** A time that is far from the name's was not made by a sound run, and must not push sound copies out. */
function timeFitsName({ stamp, time }: KnownCopy): boolean {
  return isWithin(stamp, time)
}

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
