import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { archiveName, makeStamp, readArchiveName } from '../lib/naming.ts'
import { type KeepRule, selectCopies } from '../lib/retention.ts'

/**
 * Three years of cron, step by step: a run makes or replaces the day's archive, then rotation selects among
 * what earlier rotations left. The oracle below knows every run and deletes nothing.
 *
 * What holds, with a clock that only goes forward, after every single run: the archives that are there are
 * exactly those that the rule selects from a history of which nothing was ever deleted. Deleting step by step
 * loses nothing, because the last run of a period is the newest of all when the period ends, stays as long as
 * the period is among the newest that the rule counts, and once it is not, never is again. So:
 * - of each of the newest 5 days, 3 weeks and 3 months in which there was a run, the very last run is there;
 * - nothing else is, but for one exception: until runs were in 5 days, 3 weeks and 3 months, the archive of
 *   the first day of all is there too (restic's rule of the oldest);
 * - the current day, week and month count, and a period without any run counts for nothing.
 */

const HOUR = 3_600_000
const DAY = 24 * HOUR
const start = Date.UTC(2026, 10, 24)
const end = Date.UTC(2029, 10, 24)

interface Copy {
  file: string
  time: number
}

/** What lies in the cache folder, by file name, with the time that its record tells. */
type Cache = Map<string, number>

/** One run of cron at `now`. Returns what its rotation dropped. */
function run(cache: Cache, item: string, rule: KeepRule, now: number): Copy[] {
  cache.set(archiveName(item, makeStamp(new Date(now), 'day')), now)
  const copies = [...cache]
    .filter(([file]) => readArchiveName(item, file)?.kind === 'dated')
    .map(([file, time]) => ({ file, time }))
  const { drop } = selectCopies(copies, ({ time }) => new Date(time), rule, new Date(now))
  for (const { file } of drop) cache.delete(file)
  return drop
}

/** The last run of each period that had one, oldest period first, for runs that come in order. */
function lastRuns(nameOf: (time: number) => string) {
  const runs: number[] = []
  let current = ''
  return {
    runs,
    add(time: number) {
      if (nameOf(time) === current) runs.pop()
      current = nameOf(time)
      runs.push(time)
    },
  }
}

const iso = (time: number) => new Date(time).toISOString()
const dayName = (time: number) => iso(time).slice(0, 10)
/** A week is named by its Monday. */
const weekName = (time: number) => dayName(time - ((new Date(time).getUTCDay() + 6) % 7) * DAY)
const monthName = (time: number) => iso(time).slice(0, 7)

/** Nothing ran in these: from an hour to six weeks, about a quarter of the three years. */
function outagesOf(seed: number): { from: number; to: number }[] {
  const hours = fc.oneof(fc.integer({ min: 1, max: 48 }), fc.integer({ min: 24, max: 1000 }))
  const outage = fc
    .tuple(fc.integer({ min: start / HOUR, max: end / HOUR }), hours)
    .map(([from, length]) => ({ from: from * HOUR, to: (from + length) * HOUR }))
  return fc.sample(fc.noBias(outage), { seed, numRuns: 30 })
}

/** When cron ran: each `every` from `first`, but for the outages. */
function* runsOf(first: number, every: number, seed: number): Generator<number> {
  const outages = outagesOf(seed)
  for (let now = first; now < end; now += every) {
    if (!outages.some(({ from, to }) => now >= from && now < to)) yield now
  }
}

const config = { daily: 5, weekly: 3, monthly: 3 }
const images = { daily: 1, monthly: 1 }

describe('three years of hourly runs with 5 daily, 3 weekly, 3 monthly', () => {
  test.each([1, 2, 3, 4])('leave after each run exactly what the rule promises (outages %i)', (seed) => {
    const cache: Cache = new Map([['env-latest.tar.gz', 0]])
    const days = lastRuns(dayName)
    const weeks = lastRuns(weekName)
    const months = lastRuns(monthName)
    let most = 0
    let runs = 0
    for (const now of runsOf(start, HOUR, seed)) {
      for (const period of [days, weeks, months]) period.add(now)
      run(cache, 'env', config, now)

      const promised = [...days.runs.slice(-5), ...weeks.runs.slice(-3), ...months.runs.slice(-3)]
      const hasRoom = days.runs.length < 5 || weeks.runs.length < 3 || months.runs.length < 3
      if (hasRoom) promised.push(days.runs[0] ?? now)
      const archives = [...cache.values()].filter((time) => time > 0)
      const missing = promised.filter((time) => !archives.includes(time))
      const surplus = archives.filter((time) => !promised.includes(time))
      if (missing.length + surplus.length > 0) {
        expect.fail(`${iso(now)}: missing ${missing.map(iso)}, surplus ${surplus.map(iso)}`)
      }
      most = Math.max(most, archives.length)
      runs++
    }
    expect(runs).toBeGreaterThan(15_000)
    expect(months.runs.length).toBeGreaterThan(25)
    // 5 + 3 + 3, of which the newest run is counted three times.
    expect(most).toBe(9)
    expect(cache.has('env-latest.tar.gz')).toBe(true)
  })
})

describe('three years of runs at 3:00 with 1 daily, 1 monthly', () => {
  test.each([1, 2, 3, 4])('leave after each run one archive: the newest (outages %i)', (seed) => {
    const cache: Cache = new Map()
    for (const now of runsOf(start + 3 * HOUR, DAY, seed)) {
      run(cache, 'comfyume-worker', images, now)
      expect([...cache.values()]).toEqual([now])
    }
  })

  it('would leave the last one of the month before too, were it 2 monthly', () => {
    const cache: Cache = new Map()
    const months = lastRuns(monthName)
    for (const now of runsOf(start + 3 * HOUR, DAY, 1)) {
      months.add(now)
      run(cache, 'comfyume-worker', { daily: 1, monthly: 2 }, now)
      if (months.runs.length > 2) expect([...cache.values()]).toEqual(months.runs.slice(-2))
    }
  })
})

describe('a clock that is wrong for some hours', () => {
  /** A hundred days of right hourly runs. */
  const wrongAfter = () => {
    const cache: Cache = new Map()
    const now = start + 100 * DAY
    for (let time = start; time < now; time += HOUR) run(cache, 'env', config, time)
    return { cache, now }
  }

  test.each([
    ['a day', DAY],
    ['three weeks', 21 * DAY],
    ['a year', 365 * DAY],
  ])('and ahead by %s costs at most the last place of each rule', (_, ahead) => {
    const { cache, now } = wrongAfter()
    const before = new Map(cache)
    const lost: Copy[] = []
    for (let hour = 0; hour < 4; hour++) lost.push(...run(cache, 'env', config, now + ahead + hour * HOUR))
    const days = [...before.values()].sort((a, b) => b - a)
    expect(lost.length).toBeLessThanOrEqual(3)
    for (const { time } of lost) expect(days.slice(0, 4)).not.toContain(time)

    // Once it is right again, the archive of the future counts for nothing and stays where it is.
    const future = [...cache].filter(([, time]) => time > now + 5 * DAY)
    for (let time = now; time < now + 5 * DAY; time += HOUR) {
      run(cache, 'env', config, time)
      expect(cache.get(archiveName('env', makeStamp(new Date(time), 'day')))).toBe(time)
    }
    for (const [file, time] of future) expect(cache.get(file)).toBe(time)
    const right = [...cache.values()].filter((time) => time > now && time < now + 5 * DAY)
    expect(right).toHaveLength(5)
  })

  test.each([
    ['an hour', HOUR],
    ['a day', DAY],
    ['three weeks', 21 * DAY],
    ['a year', 365 * DAY],
  ])('and behind by %s drops nothing that is newer than it', (_, behind) => {
    const { cache, now } = wrongAfter()
    for (let hour = 0; hour < 4; hour++) {
      const wrong = now - behind + hour * HOUR
      const newer = [...cache].filter(([, time]) => time > wrong)
      run(cache, 'env', config, wrong)
      const replaced = archiveName('env', makeStamp(new Date(wrong), 'day'))
      for (const [file, time] of newer) if (file !== replaced) expect(cache.get(file)).toBe(time)
    }
  })
})
