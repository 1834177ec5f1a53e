import { expect, test } from 'vitest'
import { readSize } from '../../lib/text.ts'
import { makeBudget } from '../../lib/verify/plan.ts'

test.each([
  ['1', 1],
  ['1048576', 1 << 20],
  ['500M', 500 * 2 ** 20],
  ['20G', 20 * 2 ** 30],
  ['20g', 20 * 2 ** 30],
  ['20 GB', 20 * 2 ** 30],
  ['20GiB', 20 * 2 ** 30],
  ['1.5K', 1536],
  ['1.25K', 1280],
  ['2T', 2 * 2 ** 40],
])('%s is %d bytes', (text, bytes) => {
  expect(readSize(text)).toBe(bytes)
})

test.each([
  '',
  'G',
  '0',
  '0.0001K',
  '-5G',
  '20X',
  '20GG',
  '20B',
  '1,5G',
  '1e9',
  '0x10',
  ' 20G',
  '20G a day',
  '9999999999T',
  'Infinity',
])('%j is no budget', (text) => {
  expect(readSize(text)).toBeUndefined()
})

test('what is taken is spent, what does not fit is not', () => {
  const budget = makeBudget(10)
  expect([6, 5, 4, 1, 0].map((bytes) => budget.take(bytes))).toEqual([true, false, true, false, true])
  expect(makeBudget(undefined).take(Number.MAX_SAFE_INTEGER)).toBe(true)
})
