import { type Asked as AskedOf, checkNames, list, number, text } from '../../../lib/cli/flags.ts'

export const benchFlags = (known: readonly string[]) => ({
  only: list('a,b', `only these: ${known.join(', ')}`),
  gb: number('N', 'how much data, in 10^9 bytes, up to 20; 1 by default', {
    least: 0.01,
    most: 20,
    whole: false,
  }),
  files: number('N', 'how many files in the largest tree, up to 1000000; 100000 by default', {
    least: 1000,
    most: 1_000_000,
  }),
  rounds: number('N', 'how often everything is run, in turn; 3 by default', { least: 1, most: 99 }),
  before: text('COMMIT', 'the version whose start-up is compared; 0c87c70 by default'),
  out: text('FOLDER', 'also write bench.md, bench.json, bench.svg and growth.svg there'),
})

export interface Asked {
  names: readonly string[]
  gigabytes: number
  files: number
  rounds: number
  before: string
  out?: string
}

/** Parses the flags of bench. Throws FlagError. */
export function readAsked(
  {
    only,
    gb = 1,
    files = 100_000,
    rounds = 3,
    before = '0c87c70',
    out,
  }: AskedOf<ReturnType<typeof benchFlags>>,
  known: readonly string[],
): Asked {
  checkNames('--only', only, known, 'there are')
  return { names: only ?? known, gigabytes: gb, files, rounds, before, out }
}
