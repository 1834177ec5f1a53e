import { expect, test } from 'vitest'
import { contentsOf } from '../../../lib/status/judge/contents.ts'
import { expectedOf } from '../../../lib/status/judge/expected.ts'
import { growthOf, growthOfBuckets, priceOf, roomFindings, roomOf } from '../../../lib/status/judge/growth.ts'
import type { SeenShelf } from '../../../lib/status/look/seen.ts'

const now = new Date('2026-11-24T10:00:00Z')
const GB = 1e9
const daysAgo = (days: number) => new Date(now.getTime() - days * 24 * 3_600_000)

function bucket(files: [key: string, bytes: number][]): SeenShelf {
  return {
    store: 'r2',
    bucket: 'user-files',
    title: 'r2 bucket users',
    state: 'seen',
    at: now,
    files: files.map(([key, bytes]) => ({ key, bytes, modified: now })),
    texts: {},
  }
}
const growth = (files: [string, number][]) =>
  growthOfBuckets([contentsOf(bucket(files), expectedOf('production', ['r2']), 'production')])

test('what was added in thirty days is the rate; a shorter history counts its own days', () => {
  const history = [60, 20, 10].map((days) => ({ time: daysAgo(days), bytes: 300 }))
  expect(growthOf(history, now)).toBe(20)
  expect(growthOf(history.slice(1), now)).toBe(30)
  expect(growthOf([{ time: daysAgo(0.1), bytes: 300 }], now)).toBe(300)
  expect(growthOf([], now)).toBe(0)
})

test('an archive is from the day in its name, whenever the store took it', () => {
  const [one] = growth([
    ['user-data-2026-11-20-05.tar.gz', 3 * GB],
    ['user-data-2026-11-20-06.tar.gz', 1 * GB],
    ['user-data-2026-11-22-05.tar.gz', 2 * GB],
  ])
  expect(one?.days).toEqual([
    { day: '2026-11-20', bytes: 4 * GB },
    { day: '2026-11-22', bytes: 6 * GB },
  ])
  expect(one?.bytes).toBe(6 * GB)
})

test('R2 costs 0.015 $ for each GB and month above ten', () => {
  const day = (number: number) => `user-data-2026-${number < 20 ? '10' : '11'}-${number}-05.tar.gz`
  expect(priceOf(growth([[day(15), 110 * GB]]))?.now).toBeCloseTo(1.5)
  expect(priceOf(growth([[day(15), 9 * GB]]))?.now).toBe(0)
  expect(priceOf([])).toBeUndefined()
  const growing = priceOf(
    growth([
      [day(15), 110 * GB],
      [day(20), 30 * GB],
    ]),
  )
  // 30 GB in the last thirty days.
  expect(growing?.morePerMonth).toBeCloseTo((30 / 30) * (365.25 / 12) * 0.015)
})

function mello(freeBytes: number, bytesADay: number) {
  const shelf: SeenShelf = {
    store: 'mello',
    title: 'Mello',
    state: 'seen',
    at: now,
    files: [],
    texts: {},
    room: { freeBytes, totalBytes: 80 * GB },
  }
  const history = Array.from({ length: 30 }, (_, days) => ({
    day: daysAgo(29 - days)
      .toISOString()
      .slice(0, 10),
    archives: 1,
    bytes: bytesADay,
  }))
  const cell = {
    item: 'home-dev',
    title: '',
    store: 'mello' as const,
    state: 'by hand' as const,
    asOf: now,
    newest: { key: '', time: now, bytes: bytesADay },
    copies: 30,
    contents: 30,
    bytes: 30 * bytesADay,
    history,
  }
  const rooms = roomOf([shelf], [cell])
  return { room: rooms[0], findings: roomFindings(rooms, [cell]) }
}

test('Mello is full in as many days as its room lasts at the rate of its copies', () => {
  const { room, findings } = mello(31 * GB, GB)
  expect(room?.daysUntilFull).toBe(30)
  expect(findings).toEqual([])
})

test('less than two weeks of room, or none for another backup, needs a person', () => {
  expect(mello(10 * GB, GB).findings[0]?.what).toBe(
    'Mello is full in 9 days at this rate; there should be space for 14',
  )
  expect(mello(0.5 * GB, GB).findings[0]?.what).toBe(
    'Mello has no space for another backup of home-dev: 477 MB free, about 954 MB needed',
  )
})

test('only buckets grow, each with what its records weigh from the day of the archive', () => {
  const files: [string, number][] = [
    ['user-data-2026-11-20-05.tar.gz', 3 * GB],
    ['user-data-2026-11-20-05.tar.gz.sha256', 400],
  ]
  expect(growth(files)[0]?.days).toEqual([{ day: '2026-11-20', bytes: 3 * GB + 400 }])
  const { bucket: _, ...shelf } = bucket(files)
  const contents = (one: SeenShelf) => contentsOf(one, expectedOf('production', ['r2', 'sfs']), 'production')
  expect(growthOfBuckets([contents({ ...shelf, store: 'sfs' })])).toEqual([])
  expect(growthOfBuckets([contents(shelf)])).toEqual([])
  expect(growthOfBuckets([contents({ ...bucket(files), store: 'mello' })])).toEqual([])
})

test('the price is that of R2, whatever lies elsewhere', () => {
  const [one] = growth([['user-data-2026-10-15-05.tar.gz', 110 * GB]])
  if (one === undefined) throw new Error('no growth')
  expect(priceOf([one, { ...one, store: 'hetzner' }])?.now).toBeCloseTo(1.5)
  expect(priceOf([{ ...one, store: 'hetzner' }])).toBeUndefined()
})
