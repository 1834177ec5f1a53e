import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { Progress, progressInWords } from '../../lib/cli/progress.ts'

const MB = 2 ** 20

it.each([
  ['bytes and rate while the end is not known', 10 * MB, 0, 5, '10 MB, 2.0 MB/s'],
  ['the time left when it is', 10 * MB, 30 * MB, 5, '10 MB of 30 MB, 2.0 MB/s, 10 s left'],
  ['hours where they are needed', MB, 7201 * MB, 1, '1.0 MB of 7.0 GB, 1.0 MB/s, 2 h 0 min left'],
  ['nothing left at the end', 30 * MB, 30 * MB, 3, '30 MB of 30 MB, 10 MB/s'],
  ['no time left while nothing moves', 0, 30 * MB, 3, '0 bytes of 30 MB, 0 bytes/s'],
])('a progress line tells %s', (_what, bytes, expected, seconds, words) => {
  expect(progressInWords(bytes, expected, seconds)).toBe(words)
})

it('a total that is only about right says so', () => {
  expect(progressInWords(10 * MB, 30 * MB, 5, true)).toBe('10 MB of about 30 MB, 2.0 MB/s, 10 s left')
})

it.each([
  ['a terminal', { isTTY: true, columns: 80 }, true],
  ['a terminal without a width, as `ssh -tt` from cron has it', { isTTY: true, columns: 0 }, false],
  ['a file', {}, false],
])('on %s there is a spinner: %o', (_what, stream, expected) => {
  const progress = Progress.on(Object.assign(new PassThrough(), stream) as unknown as NodeJS.WriteStream)
  expect(progress !== undefined).toBe(expected)
})
