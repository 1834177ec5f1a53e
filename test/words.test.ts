import { expect, test } from 'vitest'
import {
  bytesInWords,
  firstOf,
  groupBy,
  inColumns,
  printable,
  secondsInWords,
  someOf,
  unequalSizes,
} from '../lib/text.ts'

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

test('two sizes are told to the byte where words would not tell them apart', () => {
  expect(unequalSizes(45, 80 * 1024 ** 2)).toEqual(['45 bytes', '80 MB'])
  expect(unequalSizes(5_000_001, 5_000_000)).toEqual(['5000001 bytes', '5000000 bytes'])
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

test.each([
  ['steers a terminal', '\u001b[2J\u009b', '\\u001b[2J\\u009b'],
  ['begins a line', 'a\nb\rc\u2028d', 'a\\u000ab\\u000dc\\u2028d'],
  ['turns the direction of writing', 'gpj\u202egz', 'gpj\\u202egz'],
  ['is not seen', 'a\u200bb\u{e0041}', 'a\\u200bb\\u{e0041}'],
  ['is a letter', 'ärger 漢字 😀', 'ärger 漢字 😀'],
])('what %s in a text from elsewhere', (_, text, shown) => {
  expect(printable(text)).toBe(shown)
})

test('the first of many names, and how many more there are', () => {
  expect(firstOf(['a', 'b', 'c'])).toBe('a, b, c')
  expect(firstOf(['a', 'b', 'c', 'd'])).toBe('a, b, c and 1 more')
  expect(firstOf(['a', 'b', 'c', 'd', 'e'], 3, '; ')).toBe('a; b; c; and 2 more')
  expect(someOf(['a', 'b', 'c'], 3)).toBe('a, b, c')
  expect(someOf(['a', 'b', 'c', 'd'], 3)).toBe('a, b and 2 more')
})

test('columns are as wide as their widest cell, but for the last of a row', () => {
  expect(
    inColumns(
      [
        ['a', 'bb', 'c'],
        ['aa', 'a long reason'],
        ['a', '', ''],
      ],
      '  ',
    ),
  ).toEqual(['  a   bb  c', '  aa  a long reason', '  a'])
})

test('groups are in the order of their first members', () => {
  expect([...groupBy(['b1', 'a1', 'b2'], (name) => name[0])]).toEqual([
    ['b', ['b1', 'b2']],
    ['a', ['a1']],
  ])
})
