import { expect, test } from 'vitest'
import { isWithin, timeOfAdopted } from '../../lib/copies.ts'
import type { Stamp } from '../../lib/naming.ts'

const now = '2026-11-24T10:00:00.000Z'

test.each<[string, string, string, string | undefined]>([
  ['2026-11-20', '2026-11-20T05:10:30.000Z', 'written on its day', '2026-11-20T05:10:30.000Z'],
  ['2026-11-20', '2026-11-20T23:59:59.999Z', 'at its last moment', '2026-11-20T23:59:59.999Z'],
  ['2026-11-20', '2026-11-21T00:00:00.000Z', 'finished after midnight', '2026-11-20T00:00:00.000Z'],
  ['2026-11-20', '2026-11-24T09:00:00.000Z', 'copied here days later', '2026-11-20T00:00:00.000Z'],
  ['2026-11-20', '2025-01-01T00:00:00.000Z', 'older than its name', '2026-11-20T00:00:00.000Z'],
  ['2026-11-20-14', '2026-11-20T14:10:30.000Z', 'written in its hour', '2026-11-20T14:10:30.000Z'],
  ['2026-11-20-14', '2026-11-20T15:10:30.000Z', 'written after its hour', '2026-11-20T14:00:00.000Z'],
  ['2026-11-20-14-10', '2026-11-20T14:10:30.000Z', 'written in its minute', '2026-11-20T14:10:30.000Z'],
  [
    '2026-11-24',
    '2026-11-24T11:00:00.000Z',
    'written today, by a clock that is ahead',
    '2026-11-24T00:00:00.000Z',
  ],
  ['2026-11-24-11', '2026-11-24T09:00:00.000Z', 'named after an hour to come', undefined],
  ['2026-11-25', '2026-11-25T05:00:00.000Z', 'of tomorrow', undefined],
  ['2026-11-25', '2026-11-20T05:00:00.000Z', 'named after tomorrow', undefined],
])('%s, modified %s: %s', (stamp, modified, _, expected) => {
  const time = timeOfAdopted(stamp as Stamp, new Date(modified), new Date(now))
  expect(time?.toISOString()).toBe(expected)
  if (time) expect(isWithin(stamp as Stamp, time) && time <= new Date(now)).toBe(true)
})
