import { expect, test } from 'vitest'
import { parseFlags } from '../lib/cli/flags.ts'
import type { Table } from './bench/harness/comparison.ts'
import { fitLine, median } from './bench/harness/figures.ts'
import { barsSvg, linesSvg } from './bench/harness/plot.ts'
import { benchFlags, readAsked } from './bench/harness/request.ts'
import { markdown } from './bench/harness/table.ts'

test.each([
  [[3, 1, 2], 2],
  [[4, 1, 2, 3], 2.5],
  [[7], 7],
  [[], Number.NaN],
])('the median of %j is %d', (values, expected) => expect(median(values)).toBe(expected))

test('a line through points, and how well they lie on it', () => {
  const exact = fitLine([
    [1, 5],
    [2, 7],
    [4, 11],
  ])
  expect([exact.slope, exact.intercept, exact.r2].map((value) => Math.round(value * 1e9) / 1e9)).toEqual([
    2, 3, 1,
  ])
  expect(
    fitLine([
      [0, 0],
      [1, 10],
      [2, 0],
    ]).r2,
  ).toBe(0)
  expect(fitLine([[1, 4]])).toEqual({ slope: 0, intercept: 4, r2: 1 })
})

const run = (seconds: number) => ({ seconds, cpuSeconds: seconds / 2, peakBytes: 5e6 })
const table: Table = {
  title: 'a home',
  base: 'tar \\| igzip',
  rows: [
    { name: 'ours', ours: true, checks: 'all', runs: [run(6), run(9), run(3)], storedBytes: 7e6 },
    { name: 'tar \\| igzip', ours: false, checks: 'nothing', runs: [run(4)] },
    { name: 'restic', ours: false, checks: '', runs: [], missing: 'restic' },
    { name: 'borg', ours: false, checks: '', runs: [], failed: 'no room' },
  ],
}

test('a table has the median, the spread and the ratio, says what is missing, and leaves empty columns out', () => {
  expect(markdown(table).split('\n')).toEqual([
    '| a home | s | × `tar \\| igzip` | CPU s | peak MB | stored MB | what it checks |',
    '| --- | --: | --: | --: | --: | --: | --- |',
    '| **ours** | 6.0 (3.0 to 9.0) | 1.50 | 3.0 | 5 | 7 | all |',
    '| tar \\| igzip | 4.0 | 1.00 | 2.0 | 5 |  | nothing |',
    '| restic | not here: restic |  |  |  |  |  |',
    '| borg | failed |  |  |  |  |  |',
  ])
})

test('the plot has a bar for whatever ran, as long as its seconds, and text that is safe', () => {
  const svg = barsSvg([{ ...table, title: 'a < b & c' }])
  expect(svg).toMatch(/^<svg xmlns[\s\S]*<\/svg>\n$/)
  expect(
    [...svg.matchAll(/<rect [^>]*width="([\d.]+)" height="14"/g)].map(([, width]) => Number(width)),
  ).toEqual([420, 280])
  expect(svg).toContain('a &lt; b &amp; c')
  expect(svg).toContain('>tar | igzip<')
  expect(svg).toContain('prefers-color-scheme: dark')
  expect(svg).not.toContain('restic')
})

test('a chart begins at nothing and ends at the largest figure', () => {
  const series = [
    {
      name: 'ours',
      ours: true,
      points: [
        [0, 0],
        [5, 20],
        [10, 40],
      ] as [number, number][],
    },
  ]
  const svg = linesSvg([{ title: 'Time', xUnit: 'GB', yUnit: 's', series }])
  expect(svg).toContain('points="50,200 185,125 320,50"')
})

const known = ['one', 'two']
const asked = (...argv: string[]) => readAsked(parseFlags(argv, benchFlags(known)), known)

test('what the flags ask for', () => {
  expect(asked()).toMatchObject({ names: ['one', 'two'], gigabytes: 1, rounds: 3 })
  expect(asked('--only', 'two', '--gb', '0.5', '--out', 'docs')).toMatchObject({
    names: ['two'],
    gigabytes: 0.5,
    out: 'docs',
  })
})

test.each([
  ['--only', 'three', '--only: three: not known here; there are one, two'],
  ['--only', ',', '--only is empty; there are one, two'],
  ['--gb', '21', '--gb takes a number from 0.01 to 20; it was given "21"'],
  ['--gb', 'much', '--gb takes a number'],
  ['--rounds', '1.5', '--rounds takes a whole number from 1 to 99'],
  ['--files', '0', '--files takes a whole number'],
])('%s %s is refused', (flag, value, message) => expect(() => asked(flag, value)).toThrow(message))
