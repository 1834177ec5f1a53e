import { describe, expect, test } from 'vitest'
import { type Flag, FlagError, listOf, parseFlags } from '../../lib/cli/flags.ts'

const known: Flag[] = [
  { name: 'only', value: 'a,b', help: 'these' },
  { name: 'wait', value: 'SECONDS', help: 'so long' },
  { name: 'dry-run', help: 'nothing' },
  { name: 'json', help: 'a report' },
]

test.each<[string[], Record<string, string | true>]>([
  [[], {}],
  [['--json'], { json: true }],
  [['--only', 'a,b', '--json'], { only: 'a,b', json: true }],
  [['--only=a=b'], { only: 'a=b' }],
  [['--only', '-a'], { only: '-a' }],
  [['--wait', '5', '--dry-run'], { wait: '5', 'dry-run': true }],
])('%j is %j', (argv, flags) => {
  expect(parseFlags(argv, known)).toEqual(flags)
})

describe('what cannot be meant', () => {
  test.each<[string[], string]>([
    [['--olny', 'x'], '--olny is not known; "x" is no flag'],
    [['-j'], '-j is not known'],
    [['--no-json'], '--no-json is not known'],
    [['--JSON'], '--JSON is not known'],
    [['x'], '"x" is no flag'],
    [['--only'], '--only needs a value: --only a,b'],
    [['--only='], '--only needs a value'],
    [['--only', '--json'], '--only needs a value'],
    [['--json=yes'], '--json takes no value'],
    [['--json', '--json'], '--json is given twice'],
    [['--', '--json'], '"--json" is no flag'],
    [['--constructor'], '--constructor is not known'],
  ])('%j: %s', (argv, says) => {
    expect(() => parseFlags(argv, known)).toThrow(FlagError)
    expect(() => parseFlags(argv, known)).toThrow(says)
  })

  test('everything that is wrong is named at once, with what is known', () => {
    expect(() => parseFlags(['--a', '--b'], known)).toThrow(
      '--a is not known; --b is not known. Known are --only a,b, --wait SECONDS, --dry-run, --json',
    )
  })
})

test.each<[string | true | undefined, string[] | undefined]>([
  [undefined, undefined],
  [true, undefined],
  ['a', ['a']],
  [' a , b,', ['a', 'b']],
  [',', []],
])('the list of %j is %j', (value, expected) => {
  expect(listOf(value)).toEqual(expected)
})
