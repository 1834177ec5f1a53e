import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { globbySync } from 'globby'
import { expect, test } from 'vitest'
import { flagsInWords, parseFlags } from '../../lib/cli/flags.ts'
import type { Program } from '../../lib/cli/main.ts'
import { runAgain, setOwnLine } from '../../lib/text.ts'

/** Every command line that a message, a help page or a page of the docs shows can be pasted: its command and flags are real. */

const project = path.resolve(import.meta.dirname, '../..')
const programs = new Map<string, Program>()
for (const name of readdirSync(path.join(project, 'scripts')))
  if (name.endsWith('.ts'))
    programs.set(name.slice(0, -3), (await import(path.join(project, 'scripts', name))).default)

interface Shown {
  where: string
  text: string
}

function linesOf(patterns: string[]): Shown[] {
  return globbySync(patterns, { cwd: project }).flatMap((file) =>
    readFileSync(path.join(project, file), 'utf8')
      .split('\n')
      .map((text, index) => ({ where: `${file}:${index + 1}`, text })),
  )
}

/** The lines that messages are made from. A value that only a run knows becomes VALUE. */
const source = linesOf(['lib/**/*.ts', 'scripts/*.ts'])
  .filter(({ text }) => !/^\s*(?:\*|\/\/|\/\*\*)/.test(text))
  .map(({ where, text }) => ({ where, text: text.replaceAll(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, 'VALUE') }))
const printed = linesOf(['test/docs/{printed,help}/*.txt', 'docs/*.md', 'README.md'])

/** Sentences that begin with the name of the toolkit. */
const prose = ['comfyume-backup increment', 'comfyume-backup in VALUE']

/** The words after `comfyume-backup`, up to the end of the sentence, of the string or of the code. */
function commandsIn({ where, text }: Shown) {
  return [
    ...text.matchAll(
      /\bcomfyume-backup (VALUE|[a-z]+(?:-[a-z]+)?)(?= |$|[.,;:)`'"])((?: (?:'[^']*'|"[^"]*"|[^\s'"`;()|…]+))*)/g,
    ),
  ]
    .map(([line, command = '', rest = '']) => ({
      where,
      line,
      command,
      words: [...rest.replace(/[.,:]$/, '').matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
        ([, single, double, bare]) => single ?? double ?? bare ?? '',
      ),
    }))
    .filter(({ line }) => !prose.includes(line))
    .filter(({ words }) => words.length === 0 || /^(?:--|VALUE|verda$|mello$)/.test(words[0] as string))
}

/** What would be wrong with the line; undefined if it can be pasted. */
function wrongWith({ command, words }: { command: string; words: string[] }): string | undefined {
  if (command === 'VALUE') return undefined
  const program = programs.get(command)
  if (program === undefined) return `there is no command ${command}`
  const flags = new Map(
    flagsInWords(program.manual.flags).map(([usage]) => [usage.split(' ')[0], usage.includes(' ')]),
  )
  for (const [index, word] of words.entries()) {
    if (!word.startsWith('--')) continue
    const takes = flags.get(word)
    if (takes === undefined) return `${command} has no ${word}`
    if (takes && (words[index + 1] ?? '--').startsWith('--')) return `${word} lacks its value`
  }
  // Values that are known are read as well.
  if (words.some((word) => /VALUE|DATE|DIR|PATTERN|FILE|STORE|\.\.\./.test(word))) return undefined
  try {
    parseFlags(words, program.manual.flags)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

test.each([
  ['messages', source, 25],
  ['golden files, help and pages', printed, 60],
])('every line for comfyume-backup in %s has a command and flags that exist', (_, shown, least) => {
  const commands = shown.flatMap(commandsIn)
  expect(commands.length).toBeGreaterThan(least)
  const judged = commands.map((one) => ({ where: one.where, line: one.line, why: wrongWith(one) }))
  expect(judged.filter(({ why }) => why !== undefined)).toEqual([])
})

test('a message that says to run this again prints the whole line', () => {
  const vague = source.filter(({ text }) =>
    /\brun (?:it |this )?again\b(?! afterwards: VALUE|: VALUE)/i.test(text),
  )
  expect(vague.filter(({ text }) => !notAsked.some((words) => text.includes(words)))).toEqual([])
  expect(notAsked.filter((words) => !source.some(({ text }) => text.includes(words)))).toEqual([])
  setOwnLine(['restore', '--only', 'home-dev', '--path', "home/dev/it's here"])
  expect(runAgain()).toBe(
    "run again: comfyume-backup restore --only home-dev --path 'home/dev/it'\\''s here'",
  )
})

/** What a command is for. */
const notAsked = [
  'Run it again as often as you like',
  'interrupted restore is simply run again',
  'run it again for the state now',
]

test('no message names a flag without the whole line, but for corrections of a command line that was typed', () => {
  const named = source.filter(({ where, text }) => {
    if (/^scripts\//.test(where)) return false
    const rest = text.replaceAll(/\bcomfyume-backup (?:VALUE|[a-z-]+)[^.;)]*/g, '')
    return /['"`].*\b(?:give|with|without|out|add|drop|uses?|or|and|see|by|once|purpose)[:,]? --[a-z]/.test(
      rest,
    )
  })
  expect(named.filter(({ text }) => !explained.some((words) => text.includes(words)))).toEqual([])
  expect(explained.filter((words) => !source.some(({ text }) => text.includes(words)))).toEqual([])
})

/** What a flag did, or how to correct the line that was typed. */
const explained = [
  'and --at needs one',
  'and --quick leaves it out',
  'narrow it with --only, --at or --since',
  'or give --yes to read it all',
  'with --bytes: read archives at random',
  'restore it without --at',
  'name it with --only, for instance',
  'Left out by --stores',
  'in place, or with --to DIR elsewhere:',
]

/** Programs that Debian has, or that the same message installs. */
const known = ['VALUE', 'chmod', 'chown', 'comfyume-backup', 'findmnt', 'ls', 'sudo']

test('what a message says to run begins with a program', () => {
  const run = source.flatMap(({ where, text }) =>
    [
      ...text.matchAll(
        /(?<=['"`].*)(?<!dry-|not )\b(?:[Rr]un(?: there| here| once| as root)?|[Oo]n (?:that|its) host): `?(VALUE|[a-z][a-z-]*)/g,
      ),
    ].map(([, word = '']) => ({ where, word })),
  )
  expect(run.length).toBeGreaterThan(15)
  expect(run.filter(({ word }) => !known.includes(word))).toEqual([])
})
