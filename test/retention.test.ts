import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { type KeepRule, type Selection, selectCopies } from '../lib/retention.ts'

const now = new Date('2030-01-01T00:00:00Z')
const timeOf = (text: string) => new Date(text.length === 10 ? text : `${text}:00Z`)
const select = (copies: string[], rule: KeepRule, at = now) => selectCopies(copies, timeOf, rule, at)
const kept = <T>(selection: Selection<T>) => selection.keep.map(({ copy }) => copy)

/** Every day from `first` to `last`, oldest first. */
const days = (first: string, last: string): string[] => {
  const list: string[] = []
  for (let time = Date.parse(first); time <= Date.parse(last); time += 86_400_000)
    list.push(new Date(time).toISOString().slice(0, 10))
  return list
}

interface Case {
  name: string
  copies: string[]
  rule: KeepRule
  keep: Record<string, string[]>
}

const cases: Case[] = [
  {
    name: 'keeps nothing of nothing',
    copies: [],
    rule: { daily: 5, weekly: 3, monthly: 3 },
    keep: {},
  },
  {
    name: 'keeps the newest copy when every rule is zero',
    copies: ['2026-11-23', '2026-11-24'],
    rule: { daily: 0, weekly: 0, monthly: 0 },
    keep: { '2026-11-24': ['newest'] },
  },
  {
    name: 'keeps the newest copy when there is no rule',
    copies: ['2026-11-23', '2026-11-24'],
    rule: {},
    keep: { '2026-11-24': ['newest'] },
  },
  {
    name: 'keeps a single copy for every reason there is',
    copies: ['2026-11-24'],
    rule: { daily: 5, weekly: 3, monthly: 3 },
    keep: { '2026-11-24': ['newest', 'daily', 'weekly', 'monthly'] },
  },
  {
    name: 'keeps the newest of several copies a day',
    copies: ['2026-11-23T00:00', '2026-11-23T23:59', '2026-11-24T00:00', '2026-11-24T12:00'],
    rule: { daily: 2 },
    keep: { '2026-11-24T12:00': ['newest', 'daily'], '2026-11-23T23:59': ['daily'] },
  },
  {
    name: 'counts days that have copies, not days of the calendar',
    copies: ['2025-03-01', '2026-01-05', '2026-11-01', '2026-11-24'],
    rule: { daily: 3 },
    keep: { '2026-11-24': ['newest', 'daily'], '2026-11-01': ['daily'], '2026-01-05': ['daily'] },
  },
  {
    name: 'begins a week on Monday',
    copies: days('2026-11-14', '2026-11-24'),
    rule: { weekly: 3 },
    keep: { '2026-11-24': ['newest', 'weekly'], '2026-11-22': ['weekly'], '2026-11-15': ['weekly'] },
  },
  {
    name: 'takes 1 January 2027, a Friday, into week 53 of 2026',
    copies: days('2026-12-26', '2027-01-05'),
    rule: { weekly: 3 },
    keep: { '2027-01-05': ['newest', 'weekly'], '2027-01-03': ['weekly'], '2026-12-27': ['weekly'] },
  },
  {
    name: 'takes 30 and 31 December 2024 into week 1 of 2025',
    copies: days('2024-12-28', '2025-01-05'),
    rule: { weekly: 1 },
    keep: { '2025-01-05': ['newest', 'weekly'] },
  },
  {
    name: 'tells week 1 of one year from week 1 of the next',
    copies: ['2024-01-02', '2025-01-01', '2026-01-01'],
    rule: { weekly: 2 },
    keep: { '2026-01-01': ['newest', 'weekly'], '2025-01-01': ['weekly'] },
  },
  {
    name: 'tells the November of one year from that of the next',
    copies: ['2024-11-24', '2025-11-24', '2026-11-24'],
    rule: { monthly: 2 },
    keep: { '2026-11-24': ['newest', 'monthly'], '2025-11-24': ['monthly'] },
  },
  {
    name: 'keeps the last day of months of every length, 29 February with them',
    copies: days('2023-12-15', '2024-05-10'),
    rule: { monthly: 5 },
    keep: {
      '2024-05-10': ['newest', 'monthly'],
      '2024-04-30': ['monthly'],
      '2024-03-31': ['monthly'],
      '2024-02-29': ['monthly'],
      '2024-01-31': ['monthly'],
    },
  },
  {
    name: 'ends a February of a common year on the 28th',
    copies: days('2025-02-01', '2025-03-01'),
    rule: { monthly: 2 },
    keep: { '2025-03-01': ['newest', 'monthly'], '2025-02-28': ['monthly'] },
  },
  {
    name: 'keeps the last copy of a month that ended early',
    copies: ['2026-09-11', '2026-09-12', '2026-11-01', '2026-11-24'],
    rule: { monthly: 2 },
    keep: { '2026-11-24': ['newest', 'monthly'], '2026-09-12': ['monthly'] },
  },
  {
    name: 'keeps the oldest copy while a rule has room',
    copies: days('2026-11-02', '2026-11-24'),
    rule: { monthly: 3 },
    keep: { '2026-11-24': ['newest', 'monthly'], '2026-11-02': ['oldest monthly'] },
  },
  {
    name: 'does not keep the oldest copy when the last room went to its own period',
    copies: ['2026-10-01', '2026-10-31', '2026-11-24'],
    rule: { monthly: 2 },
    keep: { '2026-11-24': ['newest', 'monthly'], '2026-10-31': ['monthly'] },
  },
  {
    name: 'keeps the oldest copy once for each rule that has room',
    copies: ['2026-11-24T01:00', '2026-11-24T02:00', '2026-11-24T03:00'],
    rule: { daily: 5, weekly: 1, monthly: 3 },
    keep: {
      '2026-11-24T03:00': ['newest', 'daily', 'weekly', 'monthly'],
      '2026-11-24T01:00': ['oldest daily', 'oldest monthly'],
    },
  },
  {
    name: 'keeps one copy for 1 daily and 1 monthly, for the newest serves both',
    copies: days('2026-08-01', '2026-11-24'),
    rule: { daily: 1, monthly: 1 },
    keep: { '2026-11-24': ['newest', 'daily', 'monthly'] },
  },
  {
    name: 'keeps what the facts ask of the SFS cache: 5 daily, 3 weekly, 3 monthly',
    copies: days('2026-01-01', '2026-11-24'),
    rule: { daily: 5, weekly: 3, monthly: 3 },
    keep: {
      '2026-11-24': ['newest', 'daily', 'weekly', 'monthly'],
      '2026-11-23': ['daily'],
      '2026-11-22': ['daily', 'weekly'],
      '2026-11-21': ['daily'],
      '2026-11-20': ['daily'],
      '2026-11-15': ['weekly'],
      '2026-10-31': ['monthly'],
      '2026-09-30': ['monthly'],
    },
  },
]

describe('selection', () => {
  test.each(cases.map((each) => [each.name, each] as const))('%s', (_, { copies, rule, keep }) => {
    const selection = select(copies, rule)
    expect(Object.fromEntries(selection.keep.map(({ copy, reasons }) => [copy, reasons]))).toEqual(keep)
    expect(kept(selection)).toEqual(kept(selection).sort().reverse())
    const others = copies.filter((copy) => !(copy in keep))
    expect(selection.drop).toEqual(others.sort().reverse())
    expect(selection.future).toEqual([])
  })

  test.each(['Pacific/Kiritimati', 'America/Los_Angeles', 'Asia/Kolkata'])(
    'takes days, weeks and months in UTC, also on a machine in %s',
    (zone) => {
      const before = process.env.TZ
      process.env.TZ = zone
      try {
        // 31 May 2026 was a Sunday: a day, a week and a month end at once.
        const ends = select(['2026-05-31T23:59', '2026-06-01T00:00'], { daily: 2, weekly: 2, monthly: 2 })
        expect(ends.keep[1]?.reasons).toEqual(['daily', 'weekly', 'monthly'])
        const oneDay = select(['2026-06-01T00:00', '2026-06-01T23:59'], { daily: 2, weekly: 2, monthly: 2 })
        expect(oneDay.keep[1]?.reasons).toEqual(['oldest daily', 'oldest weekly', 'oldest monthly'])
      } finally {
        if (before === undefined) delete process.env.TZ
        else process.env.TZ = before
      }
    },
  )

  it('takes the copy given first for the newer of two with the same time', () => {
    const copies = ['a', 'b', 'c']
    const same = selectCopies(copies, () => new Date('2026-11-24'), { daily: 1 }, now)
    expect(same).toEqual({
      keep: [{ copy: 'a', reasons: ['newest', 'daily'] }],
      drop: ['b', 'c'],
      future: [],
    })
  })

  it('leaves the list that it was given as it was', () => {
    const copies = Object.freeze(['2026-11-22', '2026-11-24', '2026-11-23'])
    expect(kept(selectCopies(copies, timeOf, { daily: 2 }, now))).toEqual(['2026-11-24', '2026-11-23'])
  })
})

describe('copies of the future', () => {
  it('are set apart, and the newest of the others is the newest', () => {
    const copies = ['2026-11-22', '2026-11-23', '2026-11-24', '2027-02-01', '2099-12-31']
    expect(select(copies, { daily: 1, monthly: 1 }, new Date('2026-11-24T12:00:00Z'))).toEqual({
      keep: [{ copy: '2026-11-24', reasons: ['newest', 'daily', 'monthly'] }],
      drop: ['2026-11-23', '2026-11-22'],
      future: ['2099-12-31', '2027-02-01'],
    })
  })

  it('are those later than now, not one of this very moment', () => {
    const at = new Date('2026-11-24T12:00:00Z')
    const { keep, future } = selectCopies([0, 1], (ms) => new Date(at.getTime() + ms), {}, at)
    expect(keep.map(({ copy }) => copy)).toEqual([0])
    expect(future).toEqual([1])
  })

  it('may be all that there is: then nothing is kept and nothing dropped', () => {
    const selection = select(['2027-01-01', '2027-01-02'], { daily: 1 }, new Date('2026-11-24'))
    expect(selection).toEqual({ keep: [], drop: [], future: ['2027-01-02', '2027-01-01'] })
  })

  it('do not stand for the oldest copy either', () => {
    const selection = select(
      ['2026-11-20T01:00', '2026-11-20T02:00', '2027-01-01'],
      { daily: 2 },
      new Date('2026-11-24'),
    )
    expect(selection.keep.at(-1)).toEqual({ copy: '2026-11-20T01:00', reasons: ['oldest daily'] })
  })
})

describe('refuses', () => {
  test.each<KeepRule>([
    { daily: -1 },
    { weekly: 1.5 },
    { monthly: Number.NaN },
    { daily: Number.POSITIVE_INFINITY },
    { daily: 5, weekly: 3, monthly: -3 },
    { daily: '5' as unknown as number },
  ])('the rule %j, even without copies', (rule) => {
    expect(() => select([], rule)).toThrow(RangeError)
    expect(() => select(['2026-11-24'], rule)).toThrow(/(daily|weekly|monthly) is .*whole number/)
  })

  test('a copy without a valid time, rather than dropping it or others', () => {
    const times = [new Date('2026-11-24'), new Date(Number.NaN)]
    expect(() => selectCopies(times, (time) => time, { daily: 1 }, now)).toThrow(RangeError)
  })

  test('to select when now is no time', () => {
    expect(() => select(['2026-11-24'], { daily: 1 }, new Date(Number.NaN))).toThrow(RangeError)
  })
})

describe('whatever the history', () => {
  const minute = 60_000
  const count = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 8 }))
  const anyRule: fc.Arbitrary<Required<KeepRule>> = fc.record({ daily: count, weekly: count, monthly: count })
  /** Minutes from 2026-10-01: dense days, and spread months on both sides of `at`. */
  const anyMinute = fc.oneof(
    fc.integer({ min: 80_000, max: 100_000 }),
    fc.integer({ min: -500_000, max: 200_000 }),
  )
  const at = new Date('2026-12-05T12:00:00Z')
  const begin = Date.UTC(2026, 9, 1)
  const anyTime = anyMinute.map((minutes) => new Date(begin + minutes * minute))
  const byTime = (time: Date) => time.getTime()
  const distinct = fc.uniqueArray(anyTime, { selector: byTime, maxLength: 60 })
  const repeated = fc.array(anyTime, { maxLength: 60 })
  const check = (copies: Date[], rule: KeepRule) => selectCopies(copies, (time) => time, rule, at)
  const all = { numRuns: 1000 }

  it('keep, drop and future hold each copy once, newest first', () => {
    fc.assert(
      fc.property(repeated, anyRule, (copies, rule) => {
        const selection = check(copies, rule)
        const lists = [kept(selection), selection.drop, selection.future]
        expect(new Set(lists.flat())).toEqual(new Set(copies))
        expect(lists.flat()).toHaveLength(copies.length)
        for (const list of lists) expect(list.map(byTime)).toEqual(list.map(byTime).sort((a, b) => b - a))
        expect(selection.future).toEqual(lists.flat().filter((time) => time > at))
        for (const { reasons } of selection.keep) expect(reasons).not.toEqual([])
      }),
      all,
    )
  })

  it('the newest copy that is not of the future is kept', () => {
    fc.assert(
      fc.property(distinct, anyRule, (copies, rule) => {
        const past = copies.filter((time) => time <= at).map(byTime)
        const first = check(copies, rule).keep[0]
        expect(first?.copy.getTime()).toBe(past.length > 0 ? Math.max(...past) : undefined)
        if (first) expect(first.reasons).toContain('newest')
      }),
      all,
    )
  })

  it('selecting from what was kept keeps all of it, for the same reasons', () => {
    fc.assert(
      fc.property(repeated, anyRule, (copies, rule) => {
        const once = check(copies, rule)
        expect(check(kept(once), rule)).toEqual({ keep: once.keep, drop: [], future: [] })
      }),
      all,
    )
  })

  it('a rule with larger counts keeps all that the smaller one keeps', () => {
    fc.assert(
      fc.property(distinct, anyRule, anyRule, (copies, rule, more) => {
        const larger = {
          daily: rule.daily + more.daily,
          weekly: rule.weekly + more.weekly,
          monthly: rule.monthly + more.monthly,
        }
        expect(new Set(kept(check(copies, larger)))).toEqual(
          new Set([...kept(check(copies, larger)), ...kept(check(copies, rule))]),
        )
      }),
      all,
    )
  })

  it('no more is kept than the counts allow, the newest copy being shared by all rules', () => {
    fc.assert(
      fc.property(repeated, anyRule, (copies, rule) => {
        const counts = Object.values(rule).filter((value) => value > 0)
        const most = counts.reduce((sum, value) => sum + value - 1, 1)
        expect(check(copies, rule).keep.length).toBeLessThanOrEqual(most)
      }),
      all,
    )
  })

  it('copies of the future change nothing for the others', () => {
    fc.assert(
      fc.property(distinct, anyRule, (copies, rule) => {
        const past = copies.filter((time) => time <= at)
        expect({ ...check(copies, rule), future: [] }).toEqual(check(past, rule))
      }),
      all,
    )
  })

  it('the order in which copies are given does not matter', () => {
    const shuffled = <T>(list: fc.Arbitrary<T[]>) =>
      list.chain((copies) =>
        fc.tuple(
          fc.constant(copies),
          fc.shuffledSubarray(copies, { minLength: copies.length, maxLength: copies.length }),
        ),
      )
    fc.assert(
      fc.property(shuffled(repeated), anyRule, ([copies, mixed], rule) => {
        expect(check(mixed, rule)).toEqual(check(copies, rule))
      }),
      all,
    )
  })
})

test('months are counted through the years', () => {
  const time = (text: string) => new Date(`${text}T05:00:00Z`)
  const months = [
    '2024-11-30',
    '2025-01-15',
    '2025-02-15',
    '2025-11-15',
    '2025-12-15',
    '2026-01-15',
    '2026-11-15',
  ]
  const { keep } = selectCopies(months.toReversed(), time, { monthly: 7 }, time('2026-11-24'))
  expect(keep.map(({ copy }) => copy)).toEqual(months.toReversed())
})

test('what cannot be decided says why', () => {
  const invalid = () => selectCopies(['x'], () => new Date('x'), {}, new Date())
  expect(invalid).toThrow('a copy, or now, has no valid time: nothing can be selected')
})
