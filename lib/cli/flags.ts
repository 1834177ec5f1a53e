import { parseArgs } from 'node:util'
import { Mistake } from '../settings/mistake.ts'
import { nearest, readSize } from '../text.ts'

/** One flag: its help, and how to read its value. The row's name is the flag: `dryRun` is `--dry-run`. */
export interface Flag<T> {
  /** The placeholder for its value in the help. A switch has none. */
  value?: string
  /** Shown in the help. May contain newlines. */
  help: string
  /** Undefined for a value that is not accepted. */
  read(text: string): T | undefined
  /** What it accepts, for the error message. */
  takes?: string
}

/** A required word before or after the flags, such as the machine of `setup`. */
export interface Word<T> extends Flag<T> {
  word: readonly T[]
}

export type FlagTable = Readonly<Record<string, Flag<unknown>>>

/** The values of a command line, typed by the table of flags. */
export type Asked<F extends FlagTable> = {
  [Name in keyof F as F[Name] extends Word<unknown> ? never : Name]?: ValueOf<F[Name]>
} & { [Name in keyof F as F[Name] extends Word<unknown> ? Name : never]: ValueOf<F[Name]> }

type ValueOf<F> = F extends Flag<infer T> ? T : never

export const flag = (help: string): Flag<boolean> => ({ help, read: () => true })

export const text = (value: string, help: string): Flag<string> => ({ value, help, read: (given) => given })

/** The names in `a,b,c`. None may be empty. */
export const list = (value: string, help: string): Flag<string[]> => ({
  value,
  help,
  read: (given) =>
    given
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
})

export const oneOf = <const T extends string>(
  known: readonly T[],
  help: string,
  value = known.join('|'),
): Flag<T> => ({
  value,
  help,
  read: (given) => known.find((one) => one === given),
  takes: anyOf(known),
})

export const word = <const T extends string>(known: readonly T[]): Word<T> => ({
  ...oneOf(known, ''),
  word: known,
})

/** `a, b or c` */
const anyOf = (known: readonly string[]) => known.join(', ').replace(/, ([^,]*)$/, ' or $1')

/** In bytes. */
export const size = (value: string, help: string): Flag<number> => ({
  value,
  help,
  read: readSize,
  takes: 'a size such as 20G, 500M, 1.5T or 1048576 (units of 1024), above 0',
})

export const number = (
  value: string,
  help: string,
  { least, most, whole = true }: { least: number; most: number; whole?: boolean },
): Flag<number> => ({
  value,
  help,
  read(given) {
    const read = /^\d+(\.\d+)?$/.test(given) ? Number(given) : Number.NaN
    return read >= least && read <= most && (!whole || Number.isInteger(read)) ? read : undefined
  },
  takes: `a ${whole ? 'whole ' : ''}number from ${least} to ${most}`,
})

/** For every command that carries out a plan. */
export const planFlags = {
  dryRun: flag('print the plan and do nothing'),
  json: flag('one JSON report on standard output, everything else on standard error'),
  quiet: flag('print only what went wrong'),
}

/** A wrong command line. The message lists what is allowed. */
export class FlagError extends Mistake {
  override name = 'FlagError'
}

/**
 * Parses a command line. Throws FlagError for unknown flags, extra words, and missing, wrong or repeated
 * values. With `help`, nothing else is required.
 */
export function parseFlags<F extends FlagTable>(argv: readonly string[], table: F): Asked<F> & Help {
  const rows = rowsOf({ ...table, ...helpFlag })
  const flags = rows.filter(({ word }) => word === undefined)
  const known = flags.map(({ name }) => name)
  const words = rows.flatMap(({ word = [] }) => word.map(String))
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(
      flags.map(({ name, value }) => [name.slice(2), { type: value ? 'string' : 'boolean' }]),
    ),
    strict: false,
    tokens: true,
    allowPositionals: true,
  })
  const asked: Record<string, unknown> = {}
  const problems: string[] = []
  const wrong: string[] = []
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue
    const given = token.value ?? ''
    const row =
      token.kind === 'option'
        ? flags.find(({ name }) => name === token.rawName)
        : rows.find(({ key, word }) => word?.includes(given) && !(key in asked))
    if (!row)
      problems.push(
        token.kind === 'option'
          ? unknown(token.rawName, known)
          : `${JSON.stringify(given)} is not a flag${meant([given], words)}`,
      )
    else if (row.key in asked) problems.push(`${row.name} is given twice`)
    else if (token.kind === 'option' && misused(row, token)) problems.push(misused(row, token))
    else {
      asked[row.key] = row.read(given)
      if (asked[row.key] === undefined)
        wrong.push(`${row.name} takes ${row.takes}; it was given ${JSON.stringify(given)}`)
    }
  }
  for (const { key, word, takes } of rows)
    if (word && !(key in asked) && !asked.help) problems.push(`${key} is missing: ${takes}`)
  if (problems.length > 0)
    throw new FlagError(
      `${problems.join('; ').replace(/[^?]$/, '$&.')} Known are ${flags.map(usageOf).join(', ')}`,
    )
  if (wrong.length > 0) throw new FlagError(wrong.join('; '))
  return asked as Asked<F> & Help
}

const helpFlag = { help: flag('this page') }
type Help = Asked<typeof helpFlag>

interface Row extends Flag<unknown> {
  /** In the table. */
  key: string
  /** On a command line. */
  name: string
  word?: readonly unknown[]
}

function rowsOf(table: FlagTable): Row[] {
  return Object.entries(table).map(([key, row]) => ({
    ...row,
    key,
    name: `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
  }))
}

/** Every flag of a table, including `help`: its syntax and its meaning. */
export function flagsInWords(table: FlagTable): [usage: string, help: string][] {
  return rowsOf({ ...table, ...helpFlag })
    .filter(({ word }) => word === undefined)
    .map((row) => [usageOf(row), row.help])
}

const usageOf = ({ name, value }: Row) => (value ? `${name} ${value}` : name)

function misused(
  { name, value }: Row,
  given: { value?: string | undefined; inlineValue?: boolean | undefined },
): string {
  if (value === undefined) return given.value === undefined ? '' : `${name} takes no value`
  const isMissing = !given.value || (!given.inlineValue && given.value.startsWith('--'))
  return isMissing ? `${name} needs a value: ${name} ${value}` : ''
}

const unknown = (name: string, known: readonly string[]) => `${name} is not known${meant([name], known)}`

/** Throws FlagError for an unknown name or an empty list. `what` completes "… a, b, c". */
export function checkNames(
  name: string,
  given: readonly string[] | undefined,
  known: readonly string[],
  what: string,
): void {
  const list = `${what} ${known.join(', ')}`
  if (given?.length === 0) throw new FlagError(`${name} is empty; ${list}`)
  const unknown = given?.filter((one) => !known.includes(one)) ?? []
  if (unknown.length === 0) return
  throw new FlagError(`${name}: ${unknown.join(', ')}: not known here${meant(unknown, known) || ';'} ${list}`)
}

function meant(names: readonly string[], known: readonly string[]): string {
  const near = names.flatMap((name) => nearest(name, known) ?? [])
  return near.length === 0 ? '' : `; did you mean ${near.join(', ')}?`
}
