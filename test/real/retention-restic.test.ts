import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type KeepRule, type Selection, selectCopies } from '../../lib/retention.ts'
import { type ResticRepository, type ResticSelection, resticRepository } from './restic-repository.ts'

/**
 * Our selection against the real restic's, over generated histories: each is a host in one repository, so one
 * `restic forget --group-by host` answers for all. Compares the times kept and removed, and each reason.
 * `asRestic` sets aside these differences:
 * - we name the newest copy `newest`; restic keeps it too, unless every rule is zero
 * - restic keeps the oldest copy while a rule has room since 0.16 (issue 3624), and says `oldest` since
 *   0.17 (4806); for an older restic we compare without that rule
 * If every rule is zero, restic refuses to remove anything and we keep the newest. No time is in the future.
 */

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const histories = fc.sample(anyHistory(), { seed: 20261124, numRuns: 600 })
const rules = [
  { daily: 5, weekly: 3, monthly: 3 },
  { daily: 1, monthly: 1 },
  { daily: 1, weekly: 3, monthly: 3 },
  { daily: 1 },
  { weekly: 1 },
  { monthly: 1 },
  { daily: 100, weekly: 100, monthly: 100 },
  ...fc.sample(anyRule(), { seed: 24112026, numRuns: 33 }),
]

let repository: ResticRepository
beforeAll(async () => {
  repository = await resticRepository(new Date('2024-02-29T23:59:58Z'))
  for (const [number, times] of histories.entries()) await repository.add(`h${number}`, times)
})
afterAll(() => repository?.[Symbol.asyncDispose]())

describe('against the real restic', () => {
  it('restic reads every snapshot of the histories', async () => {
    expect(await repository.count()).toBe(1 + histories.flat().length)
  })

  it('the histories are worth comparing', () => {
    const all = histories.flat()
    const near = all.filter((time) => /-(12-(29|3.)|01-0[1-4])T/.test(time.toISOString()))
    expect(new Set(all.map((time) => time.getUTCFullYear())).size).toBeGreaterThan(15)
    expect(near.length).toBeGreaterThan(500)
    expect(all.filter((time) => time.toISOString().includes('-02-29T')).length).toBeGreaterThan(5)
  })

  it('a snapshot that restic itself made is selected like the others', async () => {
    const selections = await repository.forget(flagsOf({ daily: 1, monthly: 2 }))
    expect(selections.find(({ host }) => host === 'real')).toEqual({
      host: 'real',
      keep: [{ time: new Date('2024-02-29T23:59:58Z'), reasons: ['daily snapshot', 'monthly snapshot'] }],
      remove: [],
    })
  })

  it('every rule keeps the same times of every history, for the same reasons', async () => {
    let compared = 0
    const different: unknown[] = []
    for (const rule of rules) {
      const selections = await repository.forget(flagsOf(rule))
      for (const { host, keep, remove } of selections) {
        if (host === 'real') continue
        const times = histories[Number(host.slice(1))] ?? []
        const ours = asRestic(
          selectCopies(times, (time) => time, rule, new Date()),
          repository.version,
        )
        if (!isDeepStrictEqual(ours, { keep, remove }))
          different.push({ rule, times, ours, restic: { keep, remove } })
        compared++
      }
    }
    console.log(
      `${histories.length} histories (${histories.flat().length} snapshots) x ${rules.length} rules:`,
      `${compared} selections compared with restic ${repository.version}, ${different.length} differences`,
      minorOf(repository.version) < 16 ? '(too old to keep the oldest copy: that rule went uncompared)' : '',
    )
    expect(different.slice(0, 3)).toEqual([])
    expect(compared).toBe(histories.length * rules.length)
  })
})

function flagsOf({ daily = 0, weekly = 0, monthly = 0 }: KeepRule): string[] {
  return ['--keep-daily', `${daily}`, '--keep-weekly', `${weekly}`, '--keep-monthly', `${monthly}`]
}

/** The answer of this version of restic if it selects as we do. */
function asRestic({ keep, drop }: Selection<Date>, version: string): Omit<ResticSelection, 'host'> {
  const minor = minorOf(version)
  const knows = (reason: string) => reason !== 'newest' && (minor >= 16 || !reason.startsWith('oldest '))
  const said = (reason: string) => `${minor >= 17 ? reason : reason.replace('oldest ', '')} snapshot`
  const all = keep.map(({ copy, reasons }) => ({ time: copy, reasons: reasons.filter(knows).map(said) }))
  return {
    keep: all.filter(({ reasons }) => reasons.length > 0),
    remove: [...drop, ...all.filter(({ reasons }) => reasons.length === 0).map(({ time }) => time)],
  }
}

function minorOf(version: string): number {
  return Number(version.split('.')[1])
}

function anyRule(): fc.Arbitrary<Required<KeepRule>> {
  const count = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 20 }))
  return fc
    .record({ daily: count, weekly: count, monthly: count })
    .filter(({ daily, weekly, monthly }) => daily + weekly + monthly > 0)
}

/**
 * One to about forty times before 2026, in any order: steps of minutes, hours, days or weeks, sometimes none,
 * from anywhere, near a year's end, or near a 29 February.
 */
function anyHistory(): fc.Arbitrary<Date[]> {
  const year = fc.integer({ min: 2004, max: 2023 })
  const begin = fc.oneof(
    fc
      .tuple(year, fc.integer({ min: -10 * 24, max: 5 * 24 }))
      .map(([y, hours]) => Date.UTC(y, 11, 31) + hours * HOUR),
    fc.tuple(year, fc.integer({ min: 0, max: 365 * 24 })).map(([y, hours]) => Date.UTC(y, 0) + hours * HOUR),
    fc.integer({ min: 1, max: 5 }).map((leap) => Date.UTC(2004 + 4 * leap - 4, 1, 27)),
  )
  const step = fc.oneof(
    { weight: 1, arbitrary: fc.constant(0) },
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 300 }).map((minutes) => minutes * MINUTE) },
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 48 }).map((hours) => hours * HOUR) },
    { weight: 6, arbitrary: fc.constant(DAY) },
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 45 }).map((days) => days * DAY) },
  )
  const inOrder = fc.tuple(begin, fc.array(step, { maxLength: 40, size: 'max' })).map(([first, steps]) => {
    const times = [first]
    for (const length of steps) times.push((times.at(-1) ?? first) + length)
    return times.map((time) => new Date(time))
  })
  return inOrder.chain((times) =>
    fc.shuffledSubarray(times, { minLength: times.length, maxLength: times.length }),
  )
}
