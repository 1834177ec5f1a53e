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
