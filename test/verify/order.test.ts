import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Stamp } from '../../lib/naming.ts'
import type { Archive } from '../../lib/verify/archives.ts'
import type { Seen } from '../../lib/verify/memory.ts'
import { chanceOrder, choose, type Listed, readingOrder } from '../../lib/verify/order.ts'

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
  test.each([
    ['the newest of every item, then the second newest', {}, 'env-24 ufw-23 ssl-20 env-23 ufw-22 env-22'],
    [
      'what was verified comes last',
      { 'env-24': '1', 'ufw-23': '1' },
      'ssl-20 env-23 ufw-22 env-22 env-24 ufw-23',
    ],
    [
      'of that, what was verified longest ago is first',
      { 'env-24': '3', 'ufw-23': '1', 'ssl-20': '2' },
      'env-23 ufw-22 env-22 ufw-23 ssl-20 env-24',
    ],
    [
      'when all were, the oldest verification',
      { 'env-24': '6', 'ufw-23': '5', 'ssl-20': '4', 'env-23': '3', 'ufw-22': '2', 'env-22': '1' },
      'env-22 ufw-22 env-23 ssl-20 ufw-23 env-24',
    ],
  ])('%s', (_, times, expected) => {
    const all = lists('env-24 env-23 env-22', 'ufw-23 ufw-22', 'ssl-20')
    expect(keys(readingOrder([store(all, times)]))).toBe(expected)
  })

  test('stores in turn; what one has verified comes after what another never has', () => {
    const one = store(lists('env-24 env-23', 'ufw-24'), { 'ufw-24': '1' })
    const two = store(lists('ssl-22 ssl-21 ssl-20'), { 'ssl-22': '0' })
    expect(keys(readingOrder([one, two]))).toBe('env-24 ssl-21 env-23 ssl-20 ssl-22 ufw-24')
  })

  test('the one that the last run had no budget left for comes first', () => {
    const all = lists('env-24 env-23', 'ufw-23 ufw-22')
    expect(keys(readingOrder([store(all, {}, 'ufw-22')]))).toBe('ufw-22 env-24 ufw-23 env-23')
  })

  test('to adopt, what has no record comes before all, verified before or not', () => {
    const all = lists('env-24 env-23?', 'ufw-23 ufw-22?')
    const verified = store(all, { 'ufw-22?': '1' }, 'ufw-23')
    expect(keys(readingOrder([verified], true))).toBe('env-23? ufw-22? ufw-23 env-24')
    expect(keys(readingOrder([store(all)]))).toBe('env-24 ufw-23 env-23? ufw-22?')
  })

  test('of chance: by the numbers drawn, each archive once', () => {
    const drawn = [0.5, 0.1, 0.9]
    const all = store(lists('a-1 a-2', 'b-1'))
    expect(keys(chanceOrder([all], () => drawn.shift() as number))).toBe('a-2 a-1 b-1')
  })
})

describe('a budget', () => {
  const sized = (...sizes: number[]) => sizes.map((bytes, place) => archive(`s${bytes}-${place + 10}`, bytes))
  const sizes = (archives: readonly Archive[]) => archives.map(({ bytes }) => bytes)

  test('none takes everything', () => {
    expect(choose(sized(5, 6, 7), undefined)).toEqual({ chosen: sized(5, 6, 7), left: [] })
  })

  test('is never exceeded; what does not fit is passed over, and smaller ones behind it are taken', () => {
    const { chosen, left } = choose(sized(4, 100, 5, 2, 1), 10)
    expect(sizes(chosen)).toEqual([4, 5, 1])
    expect(sizes(left)).toEqual([100, 2])
  })

  test('an archive that is gone costs nothing', () => {
    const { bytes: _, ...gone } = archive('env-24')
    expect(choose([gone], 1).chosen).toEqual([gone])
  })

  test('run after run everything is read, however the sizes lie, while new archives keep coming', () => {
    const sizesOfStores = fc.array(fc.array(fc.integer({ min: 1, max: 10 }), { maxLength: 12 }), {
      maxLength: 3,
    })
    fc.assert(
      fc.property(sizesOfStores, (all) => {
        const byStore = all.map((list, of) =>
          list.map((bytes, place) => archive(`item${of}of${place}-${place + 10}`, bytes)),
        )
        const times: Record<string, string> = {}
        let first = ''
        const count = byStore.flat().length
        for (let run = 100; Object.keys(times).length < count; run++) {
          expect(run, 'runs').toBeLessThan(100 + 2 * count)
          // As each run finds one new archive, which is read before all others but the first.
          const newest = store([[archive('new-30', 1)]], {}, first)
          const order = readingOrder([newest, ...byStore.map((list) => store([list], times, first))])
          const { chosen, left } = choose(order, 10)
          first = left[0]?.key ?? ''
          for (const { key } of chosen) if (key !== 'new-30') times[key] = `run ${run}`
        }
      }),
    )
  })
})
