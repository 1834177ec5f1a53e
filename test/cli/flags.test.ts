import { describe, expect, test } from 'vitest'
import {
  checkNames,
  FlagError,
  flag,
  flagsInWords,
  list,
  number,
  oneOf,
  parseFlags,
  size,
  text,
  word,
} from '../../lib/cli/flags.ts'

const known = {
  only: list('a,b', 'these'),
  to: text('DIR', 'there'),
  wait: number('SECONDS', 'so long', { least: 0, most: 100 }),
  part: number('N', 'so much of it', { least: 0.5, most: 2, whole: false }),
  on: oneOf(['verda', 'mello', 'both'], 'where', 'HOST'),
  bytes: size('N', 'how much'),
  dryRun: flag('nothing'),
  json: flag('a report'),
}

test.each<[string[], object]>([
  [[], {}],
  [['--json'], { json: true }],
  [['--only', 'a,b', '--json'], { only: ['a', 'b'], json: true }],
  [['--only', ' a , b,'], { only: ['a', 'b'] }],
  [['--only', ','], { only: [] }],
  [['--to=a=b'], { to: 'a=b' }],
  [['--to', '-a'], { to: '-a' }],
  [['--wait', '5', '--dry-run'], { wait: 5, dryRun: true }],
  [['--wait', '0', '--part', '0.5'], { wait: 0, part: 0.5 }],
  [['--on', 'mello', '--bytes', '1.5K'], { on: 'mello', bytes: 1536 }],
  [['--help'], { help: true }],
])('%j is %j', (argv, flags) => {
  expect(parseFlags(argv, known)).toEqual(flags)
})

test('a word that is nearly right is named', () => {
  const table = { machine: word(['verda', 'mello']) }
  expect(() => parseFlags(['melo'], table)).toThrow('"melo" is not a flag; did you mean mello?')
})

test('what is asked for has the types of the table', () => {
  const asked = parseFlags(['verda', '--wait', '5'], { ...known, machine: word(['verda', 'mello']) })
  const typed: [machine: 'verda' | 'mello', wait?: number, only?: string[], json?: boolean] = [
    asked.machine,
    asked.wait,
    asked.only,
    asked.json,
  ]
  expect(typed).toEqual(['verda', 5, undefined, undefined])
  // @ts-expect-error: there is no such flag
  expect(asked.olny).toBeUndefined()
})

describe('what cannot be meant', () => {
  test.each<[string[], string]>([
    [['--olny', 'x'], '--olny is not known; did you mean --only?; "x" is not a flag'],
    [['-j'], '-j is not known'],
    [['--no-json'], '--no-json is not known'],
    [['--JSON'], '--JSON is not known'],
    [['--dryRun'], '--dryRun is not known; did you mean --dry-run?'],
    [['--jsn'], '--jsn is not known; did you mean --json?'],
    [['--dry'], '--dry is not known; did you mean --dry-run?'],
    [['--limt'], '--limt is not known. Known are'],
    [['x'], '"x" is not a flag'],
    [['--only'], '--only needs a value: --only a,b'],
    [['--only='], '--only needs a value'],
    [['--only', '--json'], '--only needs a value'],
    [['--json=yes'], '--json takes no value'],
    [['--json', '--json'], '--json is given twice'],
    [['--', '--json'], '"--json" is not a flag'],
    [['--constructor'], '--constructor is not known'],
    [['--wait', '5s'], '--wait takes a whole number from 0 to 100; it was given "5s"'],
    [['--wait', '101'], '--wait takes a whole number'],
    [['--wait', '0.5'], '--wait takes a whole number'],
    [['--wait=-1'], '--wait takes a whole number'],
    [['--part', '2.1'], '--part takes a number from 0.5 to 2; it was given "2.1"'],
    [['--on', 'there'], '--on takes verda, mello or both; it was given "there"'],
    [
      ['--on', 'Verda', '--bytes', '0'],
      '--on takes verda, mello or both; it was given "Verda"; --bytes takes',
    ],
    [['--bytes', '20X'], '--bytes takes a size such as 20G, 500M'],
  ])('%j: %s', (argv, says) => {
    expect(() => parseFlags(argv, known)).toThrow(FlagError)
    expect(() => parseFlags(argv, known)).toThrow(says)
  })

  test('everything that is wrong is named at once, with what is known', () => {
    expect(() => parseFlags(['--a', '--b'], { only: known.only, dryRun: known.dryRun })).toThrow(
      '--a is not known; --b is not known. Known are --only a,b, --dry-run, --help',
    )
  })

  test('a word that has to be there, but not for the help', () => {
    const table = { machine: word(['verda', 'mello']), json: known.json }
    expect(() => parseFlags(['--json'], table)).toThrow('machine is missing: verda or mello')
    expect(() => parseFlags(['verda', 'mello'], table)).toThrow('"mello" is not a flag')
    expect(parseFlags(['--help'], table)).toEqual({ help: true })
    expect(flagsInWords(table)).toEqual([
      ['--json', 'a report'],
      ['--help', 'this page'],
    ])
  })
})

test.each<[string[] | undefined, string | undefined]>([
  [undefined, undefined],
  [['env'], undefined],
  [[], '--only is empty; there are env, ufw'],
  [['emv', 'env'], '--only: emv: not known here; did you mean env? there are env, ufw'],
  [['models', 'x'], '--only: models, x: not known here; there are env, ufw'],
])('the names %j: %s', (names, says) => {
  const check = () => checkNames('--only', names, ['env', 'ufw'], 'there are')
  if (says === undefined) expect(check).not.toThrow()
  else expect(check).toThrow(new FlagError(says))
})
