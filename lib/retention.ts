/** How many of the newest days, ISO weeks and months with copies keep their newest copy. Absent: 0. */
export interface KeepRule {
  daily?: number
  weekly?: number
  monthly?: number
}

/** A copy that stays, and at least one reason: `newest`, `daily`, `weekly`, `monthly`, `oldest daily` … */
export interface Kept<T> {
  copy: T
  reasons: string[]
}

/** Every given copy, in exactly one of the three lists, newest first. */
export interface Selection<T> {
  keep: Kept<T>[]
  drop: T[]
  future: T[]
}

/**
 * Decides which copies a rule keeps, like `restic forget --keep-*` since 0.16, by UTC periods that have
 * copies. But the newest copy always stays, and those after `now` are set apart: a fast clock must not push
 * good copies out. Of equal times the first given counts as newer. Throws RangeError for a bad count or time.
 */
export function selectCopies<T>(
  copies: readonly T[],
  timeOf: (copy: T) => Date,
  rule: KeepRule,
  now: Date,
): Selection<T> {
  const buckets = [
    { reason: 'daily', left: countOf(rule, 'daily'), periodOf: dayOf, last: Number.NaN },
    { reason: 'weekly', left: countOf(rule, 'weekly'), periodOf: weekOf, last: Number.NaN },
    { reason: 'monthly', left: countOf(rule, 'monthly'), periodOf: monthOf, last: Number.NaN },
  ]
  const limit = timestamp(now)
  const newestFirst = copies
    .map((copy) => ({ copy, time: timestamp(timeOf(copy)) }))
    .sort((a, b) => b.time - a.time)
  const past = newestFirst.filter(({ time }) => time <= limit)

  const keep: Kept<T>[] = []
  const drop: T[] = []
  for (const [index, { copy, time }] of past.entries()) {
    const reasons = index === 0 ? ['newest'] : []
    const isOldest = index === past.length - 1
    for (const bucket of buckets) {
      const period = bucket.periodOf(time)
      const isNew = period !== bucket.last
      if (bucket.left === 0 || !(isNew || isOldest)) continue
      reasons.push(isNew ? bucket.reason : `oldest ${bucket.reason}`)
      bucket.last = period
      bucket.left--
    }
    if (reasons.length > 0) keep.push({ copy, reasons })
    else drop.push(copy)
  }
  const future = newestFirst.filter(({ time }) => time > limit).map(({ copy }) => copy)
  return { keep, drop, future }
}

const DAY = 24 * 60 * 60 * 1000

/** Days since 1970-01-01. */
function dayOf(time: number): number {
  return Math.floor(time / DAY)
}

/** Weeks since the one of 1970-01-01, a Thursday: an ISO week starts on Monday and belongs to one year. */
function weekOf(time: number): number {
  return Math.floor((dayOf(time) + 3) / 7)
}

function monthOf(time: number): number {
  const date = new Date(time)
  return date.getUTCFullYear() * 12 + date.getUTCMonth()
}

function countOf(rule: KeepRule, name: keyof KeepRule): number {
  const count = rule[name] ?? 0
  if (Number.isSafeInteger(count) && count >= 0) return count
  throw new RangeError(`keep rule: ${name} is ${count}, but must be a whole number from 0 up`)
}

function timestamp(time: Date): number {
  if (!Number.isNaN(time.getTime())) return time.getTime()
  throw new RangeError('a copy, or now, has no valid time: nothing can be selected')
}
