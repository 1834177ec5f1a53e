import { parseArgs } from 'node:util'
import { Mistake } from '../mistake.ts'

/** One flag of a command. `value` is what stands for its argument in the help; without it the flag is a switch. */
export interface Flag {
  name: string
  value?: string
  /** Shown in the help; may hold newlines. */
  help: string
}

export type Flags = Record<string, string | true>

/** A command line that cannot be meant. The message lists what can be. */
export class FlagError extends Mistake {
  override name = 'FlagError'
}

/** Reads a command line. Throws FlagError for unknown flags, values that are missing or too many, and words that are no flag. */
export function parseFlags(argv: readonly string[], known: readonly Flag[]): Flags {
  const options = Object.fromEntries(
    known.map(({ name, value }) => [name, { type: value === undefined ? 'boolean' : 'string' } as const]),
  )
  const { tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    tokens: true,
    allowPositionals: true,
  })
  const flags: Flags = {}
  const problems: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') problems.push(`${JSON.stringify(token.value)} is no flag`)
    if (token.kind !== 'option') continue
    const flag = known.find(({ name }) => name === token.name && token.rawName.startsWith('--'))
    if (!flag) problems.push(`${token.rawName} is not known`)
    else if (flag.value === undefined && token.value !== undefined)
      problems.push(`--${flag.name} takes no value`)
    else if (
      flag.value !== undefined &&
      (token.value === undefined ||
        token.value === '' ||
        (!token.inlineValue && token.value.startsWith('--')))
    ) {
      problems.push(`--${flag.name} needs a value: --${flag.name} ${flag.value}`)
    } else if (flag.name in flags) problems.push(`--${flag.name} is given twice`)
    else flags[flag.name] = token.value ?? true
  }
  if (problems.length > 0) {
    throw new FlagError(
      `${problems.join('; ')}. Known are ${known.map(({ name, value }) => `--${name}${value ? ` ${value}` : ''}`).join(', ')}`,
    )
  }
  return flags
}

/** The names in a `a,b,c` value; none of them empty. */
export function listOf(value: string | true | undefined): string[] | undefined {
  if (typeof value !== 'string') return undefined
  return value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}
