import { readFileSync } from 'node:fs'
import path from 'node:path'
import { globbySync } from 'globby'
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

/** Phrases that were taken out of code, messages and documents, and what to write instead. */
const notEnglish: readonly [RegExp, instead: string][] = [
  [/\b(?:begins?|starts?|made?|builds?) anew\b/i, 'starts over, again, new'],
  [/\bas often as need be\b/i, 'as often as you like'],
  [/\bnobody\b(?! = | ?\])/i, 'no one, or say what is not done'],
  [/\b(?:whoever|somebody|anybody)\b/i, 'anyone who, someone, or name who'],
  [/\blies? (?:there|here|in|on|below|beside|next|at)\b/i, 'is in'],
  [/\b[a-z]+ beside (?:the|it|its|a|them|each|other|others|another|package)\b/i, 'next to, compared with'],
  [/\bmend(?:s|ed|ing)?\b(?!\()(?!: )/i, 'fix'],
  [/\bpassed over\b/i, 'skipped'],
  [/\bis told as\b/i, 'is reported as'],
  [/\bin the place of\b/i, 'instead of'],
  [/\b(?:was|were) not begun\b/i, 'was not started, cancelled'],
  [/\bneeds? a person\b|\bto be known\b/i, 'action needed, notes'],
  [/\b(?:can|could) be had (?:back|again)\b/i, 'can be downloaded again, can be restored'],
  [/\bgoes by (?:the|it)\b/i, 'uses'],
  [/\bno room\b|\broom (?:is|that is) left\b|\bmake room\b/i, 'not enough space, free space'],
  [/\basks (?:about )?\$/i, 'costs about $'],
  [/\bcould not be looked at\b|\bshown is how\b/i, 'unreachable; showing its state as of'],
  [/\bbroken off\b/i, 'interrupted'],
  [/\bsay nothing of\b|\bas the log has it\b|\bas the facts have it\b/i, 'do not mention, the log says'],
  [/\bwith no worth\b|\bof no worth\b|\bof worth\b/i, 'without data, that matters'],
  [/\bis so and who looked\b|\bwhat is the matter\b/i, 'what must be true, what is wrong'],
  [/\ball the same\b/i, 'still, anyway'],
  [/\bfitting (?:record|time|name)\b/i, 'matching'],
  [/\bthe (?:tension|way of one)\b/i, 'context, how a backup runs'],
  [/\bit is told\b|\bare told\b|\bis told\b/i, 'is reported'],
]

const project = path.resolve(import.meta.dirname, '..')
const ours = [
  '{lib,scripts,demo}/**/*.ts',
  'scripts/comfyume-backup',
  'crontab/*',
  'docs/**/*.md',
  '*.md',
  '.env.example',
]
const written = globbySync(ours, { cwd: project, dot: true })

test.each(notEnglish)('nowhere %s; better: %s', (phrase) => {
  const found = written.flatMap((file) =>
    readFileSync(path.join(project, file), 'utf8')
      .split('\n')
      .flatMap((line, index) => (phrase.test(line) ? `${file}:${index + 1}: ${line.trim()}` : [])),
  )
  expect(found).toEqual([])
})
