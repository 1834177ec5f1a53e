import { expect, test } from 'vitest'
import { ageInWords, minuteOf, spanInWords } from '../lib/text.ts'

const minute = 60_000
const hour = 60 * minute

test.each([
  [0, '0 min'],
  [29_000, '0 min'],
  [35 * minute, '35 min'],
  [2 * hour - 1, '120 min'],
  [2 * hour, '2 h'],
  [30.9 * hour, '30 h'],
  [48 * hour - 1, '47 h'],
  [48 * hour, '2 days'],
  [12.9 * 24 * hour, '12 days'],
])('%i ms are %s', (milliseconds, words) => {
  expect(spanInWords(milliseconds)).toBe(words)
})

test.each([
  [5 * minute, '5 min'],
  [-minute, '0 min'],
  [-minute - 1, '1 min ahead'],
  [-3 * hour, '3 h ahead'],
])('what was %i ms ago is of %s', (ago, words) => {
  const now = new Date('2026-11-24T10:00:00Z')
  expect(ageInWords(new Date(now.getTime() - ago), now)).toBe(words)
})

test('a minute is told in UTC, without its seconds', () => {
  expect(minuteOf(new Date('2026-11-24T10:05:59.999+02:00'))).toBe('2026-11-24 08:05')
})
