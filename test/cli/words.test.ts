import { expect, test } from 'vitest'
import { bytesInWords, secondsInWords } from '../../lib/cli/words.ts'

test.each([
  [0, '0 bytes'],
  [1023, '1023 bytes'],
  [1024, '1.0 KB'],
  [1536, '1.5 KB'],
  [10 * 1024, '10 KB'],
  [6.5 * 1024 ** 3, '6.5 GB'],
  [192 * 1024 ** 3, '192 GB'],
  [5000 * 1024 ** 4, '5000 TB'],
])('%d bytes are %s', (bytes, words) => {
  expect(bytesInWords(bytes)).toBe(words)
})

test.each([
  [0, '0.0 s'],
  [9.94, '9.9 s'],
  [59.4, '59 s'],
  [59.6, '1 min 0 s'],
  [95, '1 min 35 s'],
  [3599.6, '1 h 0 min'],
  [3600 * 30 + 61, '30 h 1 min'],
])('%d seconds are %s', (seconds, words) => {
  expect(secondsInWords(seconds)).toBe(words)
})
