import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Stamp } from '../../lib/naming.ts'
import type { Seen } from '../../lib/verify/memory.ts'
import { chanceOrder, choose, type Listed, queuesOf } from '../../lib/verify/plan.ts'
import type { Archive } from '../../lib/verify/survey.ts'

/** `env-24` is item env with the stamp 2026-11-24; `env-24?` one without a record. */
function archive(name: string, bytes = 1): Archive {
  const [, item = '', day = ''] = /^(.*)-(\d+)\??$/.exec(name) ?? []
  return {
    store: 'sfs',
    bucket: 'cache',
    item,
    key: name,
    stamp: `2026-11-${day}` as Stamp,
    bytes,
    recorded: !name.endsWith('?'),
  }
}
const lists = (...names: string[]) => names.map((list) => list.split(' ').map((name) => archive(name)))
/** What a run with this budget reads, in order; undefined: everything. */
const reads = (stores: readonly Listed[], budget?: number, adopting = false) =>
  keys(choose(queuesOf(stores, adopting), budget).chosen)
const keys = (archives: readonly Archive[]) => archives.map(({ key }) => key).join(' ')
/** A store in which these were verified then, and this one is to be the first. */
const store = (byItem: Archive[][], times: Record<string, string> = {}, first = ''): Listed => ({
  byItem,
  memory: {
    seen: ({ key }) => (times[key] === undefined ? undefined : ({ at: times[key], status: 'good' } as Seen)),
    isFirst: ({ key }) => key === first,
  },
})

describe('the order of reading', () => {
  const all = lists('env-24 env-23 env-22', 'ufw-23 ufw-22', 'ssl-20')
  test.each([
    ['the newest of every item, then the oldest', {}, 'env-24 ufw-23 ssl-20 env-22 ufw-22 env-23'],
    [
      'a newest that was verified waits for its turn as the others do',
      { 'env-24': '2026-11-25', 'ufw-23': '2026-11-24' },
      'ssl-20 env-22 ufw-22 env-23 ufw-23 env-24',
    ],
    [
      'what was verified longest ago comes before what is younger than that, read or not',
      { 'env-22': '2026-11-26', 'ufw-22': '2026-11-22T12', 'env-23': '2026-11-25' },
      'env-24 ufw-23 ssl-20 ufw-22 env-23 env-22',
    ],
    [
      'when all were, the oldest verification',
      { 'env-24': '6', 'ufw-23': '5', 'ssl-20': '4', 'env-23': '3', 'ufw-22': '2', 'env-22': '1' },
      'env-22 ufw-22 env-23 ssl-20 ufw-23 env-24',
    ],
  ])('%s', (_, times, expected) => {
    expect(reads([store(all, times)])).toBe(expected)
  })

  test('over all stores', () => {
    const one = store(lists('env-24 env-21'), { 'env-24': '2026-11-25' })
    const two = store(lists('ssl-22 ssl-20'))
    expect(reads([one, two])).toBe('ssl-22 ssl-20 env-21 env-24')
  })

  test('where the last run had nothing left for the oldest, half of the budget is theirs', () => {
    const many = lists('a-24 a-23 a-21', 'b-24 b-22 b-20', 'c-24', 'd-24')
    expect(reads([store(many)], 4)).toBe('a-24 b-24 c-24 d-24')
    expect(reads([store(many, {}, 'b-20')], 4)).toBe('b-20 a-21 a-24 b-24')
    expect(choose(queuesOf([store(many)]), 4).next?.key).toBe('b-20')
  })

  test('to adopt, what has no record comes before all, verified before or not', () => {
    const some = lists('env-24 env-23?', 'ufw-23 ufw-22?')
    const verified = store(some, { 'ufw-22?': '1' }, 'ufw-23')
    expect(reads([verified], undefined, true)).toBe('env-23? ufw-22? env-24 ufw-23')
    expect(reads([store(some)])).toBe('env-24 ufw-23 ufw-22? env-23?')
  })

  test('of chance: by the numbers drawn, each archive once', () => {
    const drawn = [0.5, 0.1, 0.9]
    const some = store(lists('a-1 a-2', 'b-1'))
    expect(keys(chanceOrder([some], () => drawn.shift() as number))).toBe('a-2 a-1 b-1')
  })
})

describe('a budget', () => {
  const sized = (...sizes: number[]) => sizes.map((bytes, place) => archive(`s${bytes}-${place + 10}`, bytes))
  const sizes = (archives: readonly Archive[]) => archives.map(({ bytes }) => bytes)
  const queue = (inTurn: Archive[]) => ({ adoptable: [], newest: [], inTurn, isDue: false })

  test('none takes everything', () => {
    expect(choose(queue(sized(5, 6, 7)), undefined)).toEqual({ chosen: sized(5, 6, 7), left: [] })
  })

  test('is never exceeded; what does not fit is left, and smaller ones behind it are taken', () => {
    const { chosen, left, next } = choose(queue(sized(4, 100, 5, 2, 1)), 10)
    expect(sizes(chosen)).toEqual([4, 5, 1])
    expect(sizes(left)).toEqual([100, 2])
    expect(next?.bytes, 'the next run can read it').toBe(2)
  })

  test('an archive that is gone costs nothing', () => {
    const { bytes: _, ...gone } = archive('env-24')
    expect(choose(queue([gone]), 1).chosen).toEqual([gone])
  })

  test('run after run everything is read, however the sizes lie, while more new archives come than fit', () => {
    const sizesOfStores = fc.array(fc.array(fc.integer({ min: 1, max: 10 }), { maxLength: 12 }), {
      maxLength: 3,
    })
    fc.assert(
      fc.property(sizesOfStores, fc.integer({ min: 0, max: 12 }), (all, growth) => {
        const byStore = all.map((list, of) =>
          list.map((bytes, place) => archive(`item${of}of${place}-${place + 10}`, bytes)),
        )
        const times: Record<string, string> = {}
        let first = ''
        const count = byStore.flat().length
        for (let run = 100; Object.keys(times).length < count; run++) {
          expect(run, 'runs').toBeLessThan(102 + 2 * count)
          // Each run finds new archives of other items, which are read before all that is old.
          const fresh = Array.from({ length: growth }, (_, place) => [archive(`new${place}-30`)])
          const queues = queuesOf([
            store(fresh, {}, first),
            ...byStore.map((list) => store([list], times, first)),
          ])
          const { chosen, next } = choose(queues, 10)
          first = next?.key ?? ''
          for (const { key } of chosen) if (!key.startsWith('new')) times[key] = `run ${run}`
        }
      }),
    )
  })
})
