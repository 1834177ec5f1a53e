import { expect, test } from 'vitest'
import type { ArchiveRecord } from '../../lib/record.ts'
import { type Offer, rankOffers } from '../../lib/restore-order.ts'

const copy = (source: Offer['source'], hour: number, record: Partial<ArchiveRecord>): Offer => ({
  source,
  kind: 'recorded',
  key: `config/env-2026-11-24-${hour}.tar.gz`,
  time: new Date(Date.UTC(2026, 10, 24, hour)),
  environment: 'production',
  record: { archive: 'env.tar.gz', sha256: 'a', ...record } as ArchiveRecord,
})

const newer = (...offers: Offer[]) =>
  rankOffers(offers, {
    order: ['sfs', 'r2'],
    prefer: 'order',
    environment: 'production',
    now: new Date('2026-11-25T00:00:00Z'),
  }).newer?.source

test.each([
  ['another content', {}, { sha256: 'b' }, 'r2'],
  ['the same bytes', {}, {}, undefined],
  [
    'the same files, compressed by another tool',
    { fingerprint: 'f' },
    { sha256: 'b', fingerprint: 'f' },
    undefined,
  ],
  ['other files', { fingerprint: 'f' }, { sha256: 'b', fingerprint: 'g' }, 'r2'],
])('whether a later copy elsewhere with %s is newer', (_what, first, second, expected) => {
  expect(newer(copy('sfs', 10, first), copy('r2', 14, second))).toBe(expected)
})

test('the newest of those elsewhere is named, wherever it lies and in whatever order they were found', () => {
  const offers = [
    copy('sfs', 10, {}),
    copy('r2', 14, { sha256: 'b' }),
    copy('mello', 18, { sha256: 'c' }),
    copy('r2', 12, { sha256: 'd' }),
  ]
  for (const some of [offers, offers.toReversed()]) {
    const ranked = rankOffers(some, {
      order: ['sfs', 'r2', 'mello'],
      prefer: 'order',
      environment: 'production',
      now: new Date('2026-11-25T00:00:00Z'),
    })
    expect(ranked.newer?.source).toBe('mello')
  }
})

test('one of the same moment is not newer, and without a record of its own it may be another', () => {
  expect(newer(copy('sfs', 10, {}), copy('r2', 10, { sha256: 'b' }))).toBeUndefined()
  const { record: _, ...unread } = copy('r2', 14, {})
  expect(newer(copy('sfs', 10, {}), unread)).toBe('r2')
})

test('without any copy there is none that is newer', () => {
  expect(newer()).toBeUndefined()
})

test('of one moment and source the later name is taken, and it is not from the future while it is now', () => {
  const offers = ['a', 'b', 'c'].map((key) => ({ ...copy('sfs', 10, {}), key }))
  for (const some of [offers, offers.toReversed()]) {
    const { candidates } = rankOffers(some, {
      order: ['sfs'],
      prefer: 'order',
      environment: 'production',
      now: new Date('2026-11-24T10:00:00Z'),
    })
    expect(candidates.map(({ key }) => key)).toEqual(['c', 'b', 'a'])
  }
})
