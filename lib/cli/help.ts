import type { Setting, SettingName } from '../settings/table.ts'
import { type Asked, type FlagTable, flagsInWords } from './flags.ts'

export interface Manual<F extends FlagTable = FlagTable> {
  command: string
  /** One line: what it does. */
  summary: string
  /** When and how to use it. */
  description: string
  flags: F
  /** Purpose, and the command line. */
  examples: Readonly<Record<string, string>>
  /** How to start it, if not by its name. */
  usage?: string
  /** The settings that matter most to it. */
  settings?: readonly SettingName[]
  exits: Readonly<Record<number, string>>
  /** The monitoring service's check that a run pings. */
  check?(asked: Asked<F>): string
}

/** For every command that uses object storage. */
export const objectStores = [
  'R2_ACCESS_KEY_ID',
  'R2_SECRET_ACCESS_KEY',
  'R2_ENDPOINT',
  'HETZNER_ENDPOINT',
] as const

/** A command's --help as plain text. `table` explains its settings. */
export function helpText(manual: Manual, table: readonly Setting[]): string {
  const flags = flagsInWords(manual.flags).map(
    ([usage, help]) => [usage === '--help' ? `-h, ${usage}` : usage, help] as const,
  )
  const words = Object.values(manual.flags).flatMap((row) => ('word' in row ? row.value : []))
  const line = [...words, '[flags]'].join(' ')
  const settings = table.filter(({ name }) => manual.settings?.some((one) => one === name))
  return [
    `${manual.command}: ${manual.summary}`,
    section(
      'Usage',
      `  ${manual.usage ?? `comfyume-backup ${manual.command} ${line}\n  tsx scripts/${manual.command}.ts ${line}`}`,
    ),
    paragraphs(manual.description),
    section('Flags', columns([...flags, ['--version', 'print the version']])),
    section(
      'Examples',
      Object.entries(manual.examples)
        .map(([what, command]) => `  ${what}:\n    ${command}`)
        .join('\n'),
    ),
    ...(settings.length > 0
      ? [
          section(
            'Settings (from the environment, or .env next to package.json; .env.example has them all)',
            columns(settings.map(({ name, says }) => [name, says] as const)),
          ),
        ]
      : []),
    section('Exit codes', columns(Object.entries(manual.exits))),
  ].join('\n\n')
}

/** Wraps at 100 columns. An empty line separates paragraphs. */
function paragraphs(text: string): string {
  return text
    .trim()
    .split(/\n\s*\n/)
    .map((paragraph) => wrapped(paragraph.split(/\s+/)))
    .join('\n\n')
}

function wrapped(words: readonly string[]): string {
  const lines = ['']
  for (const word of words) {
    const line = lines.at(-1) as string
    if (line !== '' && line.length + 1 + word.length > 100) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines.join('\n')
}

function section(title: string, text: string): string {
  return `${title}\n${text}`
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length)) + 2
  return rows
    .map(([left, right]) => `  ${left.padEnd(width)}${right.replaceAll('\n', `\n  ${' '.repeat(width)}`)}`)
    .join('\n')
}
