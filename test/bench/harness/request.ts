import { FlagError, type Flags, listOf } from '../../../lib/cli/flags.ts'

export interface Asked {
  names: string[]
  gigabytes: number
  files: number
  rounds: number
  before: string
  out?: string
}

/** What the flags of bench ask for. Throws FlagError. */
export function readAsked(flags: Flags, known: readonly string[]): Asked {
  const names = listOf(flags.only) ?? [...known]
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length > 0 || names.length === 0)
    throw new FlagError(`--only ${unknown.join(', ') || 'nothing'}: there are ${known.join(', ')}`)
  return {
    names,
    gigabytes: number(flags, 'gb', 1, { least: 0.01, most: 20 }),
    files: number(flags, 'files', 100_000, { least: 1000, most: 1_000_000, whole: true }),
    rounds: number(flags, 'rounds', 3, { least: 1, most: 99, whole: true }),
    before: typeof flags.before === 'string' ? flags.before : '0c87c70',
    ...(typeof flags.out === 'string' ? { out: flags.out } : {}),
  }
}

function number(
  flags: Flags,
  name: string,
  usual: number,
  { least, most, whole = false }: { least: number; most: number; whole?: boolean },
): number {
  const value = Number(flags[name] ?? usual)
  if (value >= least && value <= most && (!whole || Number.isInteger(value))) return value
  throw new FlagError(
    `--${name} takes a${whole ? ' whole' : ''} number from ${least} to ${most}; it was given ${JSON.stringify(flags[name])}`,
  )
}
