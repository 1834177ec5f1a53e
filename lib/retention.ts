/**
 * Of how many of the newest days, ISO weeks and months that have copies the newest copy is kept. Absent: 0.
 */
export interface KeepRule {
  daily?: number
  weekly?: number
  monthly?: number
}

/**
 * A copy that stays, and why: `newest`, `daily`, `weekly`, `monthly`, or `oldest daily` and so on; at least
 * one.
 */
export interface Kept<T> {
  copy: T
  reasons: string[]
}

/** Every copy that was given, in exactly one of the three; each newest first. */
export interface Selection<T> {
  keep: Kept<T>[]
  drop: T[]
  future: T[]
}

/**
 * Decides which copies a rule keeps. Days, weeks and months are those of UTC; only periods that have copies
 * count.
 *
 * The meaning is that of `restic forget --keep-daily/-weekly/-monthly` (from 0.16 on): each rule by itself
 * takes the newest copy of each period, from the newest period back, as often as its count says; a rule that
 * has some left at the end takes the oldest copy too. A copy may serve several rules at once, so 1 daily and
 * 1 monthly is one copy: the newest.
 *
 * Two things differ from restic. The newest copy always stays, even when every count is 0. Copies later than
 * `now` count for nothing and are set apart, neither kept nor dropped: a clock that was ahead must not push
 * good copies out.
 *
 * Of copies with the same time, the one given first is taken for the newer. Throws RangeError when a count is
 * not a whole number from 0 up, or a time is invalid.
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

/**
 * Weeks since the one of 1970-01-01, which was a Thursday: an ISO week begins on Monday and belongs to one
 * year only.
 */
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
