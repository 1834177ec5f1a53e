import type { Flag } from './flags.ts'

export interface Manual {
  command: string
  /** One line: what it does. */
  summary: string
  /** When and how to use it. */
  description: string
  flags: readonly Flag[]
  /** How it is started, where that is not `tsx scripts/<command>.ts [flags]`. */
  usage?: string
  examples: readonly { command: string; what: string }[]
  settings: readonly string[]
  exits: readonly { code: number; what: string }[]
}

/** A command's --help, as a page of plain text. */
export function helpText(manual: Manual): string {
  const flags = manual.flags.map(
    ({ name, value, help }) => [`--${name}${value ? ` ${value}` : ''}`, help] as const,
  )
  return [
    `${manual.command}: ${manual.summary}`,
    section('Usage', `  ${manual.usage ?? `tsx scripts/${manual.command}.ts [flags]`}`),
    paragraphs(manual.description),
    section('Flags', table(flags)),
    section('Examples', manual.examples.map(({ command, what }) => `  ${what}:\n    ${command}`).join('\n')),
    section('Settings (environment, or .env beside package.json)', `  ${manual.settings.join('\n  ')}`),
    section('Exit codes', table(manual.exits.map(({ code, what }) => [String(code), what]))),
  ].join('\n\n')
}

/** A page is read at 100 columns, wherever the lines of the source end. An empty line parts two paragraphs. */
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

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length)) + 2
  return rows
    .map(([left, right]) => `  ${left.padEnd(width)}${right.replaceAll('\n', `\n  ${' '.repeat(width)}`)}`)
    .join('\n')
}
