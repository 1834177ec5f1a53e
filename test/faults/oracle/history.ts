import type { StoreName, World } from '../world.ts'
import { type Backup, otherContent } from './records.ts'
import { isUnfinished, type View } from './view.ts'

/** Clause 2 for Mello and the object stores: everything stays, byte for byte. */
export function checkAppendOnly(store: StoreName, before: View, after: View): string[] {
  return [...before].flatMap(([key, { sha256 }]) => {
    if (isUnfinished(key)) return []
    const now = after.get(key)
    if (now === undefined) return [`history: ${store} ${key} was there and is gone`]
    return now.sha256 === sha256 ? [] : [`history: ${store} ${key} was overwritten`]
  })
}

/**
 * Clause 2 for the share: of good copies, only what the item's rule drops may be gone.
 * The day's own file may be replaced by a later one, and files that are no backup stay as they are.
 */
export function checkRotating(
  world: World,
  before: { view: View; backups: readonly Backup[] },
  after: { view: View; backups: readonly Backup[] },
  now: string,
): string[] {
  const isGood = ({ key, wrong }: Backup) => wrong === undefined && !world.damaged.has(`sfs ${key}`)
  const good = before.backups.filter(isGood)
  const goodNow = new Map(after.backups.filter(isGood).map((backup) => [backup.key, backup]))
  const problems: string[] = []
  for (const backup of good) {
    const { key } = backup
    const there = goodNow.get(key)
    if (there?.sha256 === backup.sha256) continue
    if (there !== undefined) {
      if (there.time <= backup.time)
        problems.push(`history: sfs ${key} of ${backup.time} was replaced by one of ${there.time}`)
    } else if (after.view.has(key)) problems.push(`history: sfs ${key} was good and fits no record any more`)
    else {
      // Damage of the same size still counts as kept: rotation checks only sizes, verify reads everything.
      const counted = [...before.backups, ...after.backups].filter(
        ({ wrong }) => wrong === undefined || wrong === otherContent,
      )
      const known = [...new Map(counted.map((one) => [one.key, one])).values()]
      const kept = keptByHand(
        known.filter(({ item }) => item === backup.item),
        now,
      )
      if (kept.has(key)) problems.push(`history: sfs ${key} was good, is to be kept, and is gone`)
      if (![...goodNow.values()].some(({ item, time }) => item === backup.item && time <= now))
        problems.push(`history: sfs ${key} is gone, and ${backup.item} has no good copy left`)
    }
  }
  const recorded = new Set(before.backups.flatMap(({ key, recordKey }) => [key, recordKey, `${key}.sha256`]))
  for (const [key, { sha256 }] of before.view) {
    if (recorded.has(key) || isUnfinished(key)) continue
    if (key.startsWith('runs/') && !after.view.has(key)) continue
    // The next run may finish or replace what a killed run left. The campaign's own files must stay.
    if (!world.foreign.has(`sfs ${key}`) && !key.startsWith('runs/')) continue
    if (after.view.get(key)?.sha256 !== sha256)
      problems.push(`history: sfs ${key} is no backup, and was touched`)
  }
  return problems
}

const days = 24 * 3600 * 1000

/** The facts' retention, written again: the newest of each of the last days, weeks and months with one. */
function keptByHand(backups: readonly Backup[], now: string): Set<string> {
  const rule = backups[0]?.item.startsWith('comfyume-') ? [1, 0, 1] : [5, 3, 3]
  const sorted = backups.filter(({ time }) => time <= now).sort((a, b) => (a.time < b.time ? 1 : -1))
  const kept = new Set<string>()
  const periods = [
    (time: string) => time.slice(0, 10),
    // Weeks begin on Monday; the first day of 1970 was a Thursday.
    (time: string) => String(Math.floor((Date.parse(time) / days + 3) / 7)),
    (time: string) => time.slice(0, 7),
  ]
  for (const [index, period] of periods.entries()) {
    const seen = new Set<string>()
    for (const { key, time } of sorted) {
      if (seen.has(period(time)) || seen.size >= (rule[index] as number)) continue
      seen.add(period(time))
      kept.add(key)
    }
  }
  return kept
}
