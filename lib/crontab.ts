import { CronExpressionParser } from 'cron-parser'
import type { HostName } from './inventory.ts'

/** A line of a crontab that runs something. */
export interface CronLine {
  /** Five fields, or `@hourly`. */
  schedule: string
  /** What cron passes to the shell. */
  command: string
  /** Whether cron cuts the command at a `%` and sends the rest as input. */
  cut?: true
}

export interface Crontab {
  variables: Record<string, string>
  lines: CronLine[]
}

/** Reads a user's crontab as cron does. Skips lines that cron would refuse. Pure. */
export function readCrontab(text: string): Crontab {
  const crontab: Crontab = { variables: {}, lines: [] }
  for (const raw of text.split('\n')) {
    const [, name, value = ''] = /^\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(raw) ?? []
    const line = readCronLine(raw)
    if (name !== undefined) crontab.variables[name] = value.replace(/^(["'])(.*)\1$/, '$2')
    else if (line !== undefined) crontab.lines.push(line)
  }
  return crontab
}

/** Undefined for a comment, a variable, or a line that cron would refuse. */
export function readCronLine(text: string): CronLine | undefined {
  const [, schedule, given] =
    /^\s*(@\w+|(?:[\d*][\d*,/-]*\s+){2}(?:[\w*][\w*,/-]*\s+){2}[\w*][\w*,/-]*)\s+(\S.*?)\s*$/.exec(text) ?? []
  if (schedule === undefined || given === undefined) return undefined
  const [command = ''] = /^(?:\\%|[^%])*/.exec(given) ?? []
  const line = { schedule: schedule.replace(/\s+/g, ' '), command: command.replaceAll('\\%', '%').trimEnd() }
  return command === given ? line : { ...line, cut: true }
}

/** The next time after `now` that matches a schedule, UTC; undefined if none does. */
export function nextTime(schedule: string, now: Date): Date | undefined {
  try {
    return CronExpressionParser.parse(schedule, { currentDate: now, tz: 'UTC' }).next().toDate()
  } catch {
    return undefined
  }
}

/** A command of this toolkit in a crontab line. */
export interface ToolkitRun {
  /** `backup-cron`, `verify`. */
  name: string
  argv: string[]
  /** The first word, which the shell runs. */
  program: string
  /** Absolute paths of scripts and their interpreters, without the program. */
  paths: string[]
  /** The file for its output. */
  log?: string
}

/** The first toolkit command in a crontab line, called by script or wrapper. Pure. */
export function toolkitRun({ command }: CronLine): ToolkitRun | undefined {
  const log = />>?\s*(\/[^\s;&|]+)/.exec(command)?.[1]
  for (const part of command.replace(redirections, ' ').split(/[;&|]+/)) {
    const [, before = '', script, wrapped, rest = ''] =
      /^(.*?(?:^|[\s/]))(?:scripts\/([a-z-]+)\.ts|comfyume-backup\s+([a-z][a-z-]*))(\s.*)?$/.exec(part) ?? []
    const name = script ?? wrapped
    if (name === undefined) continue
    const run = `${before}${script === undefined ? 'comfyume-backup' : `scripts/${script}.ts`}`
    // Variables before the program are its environment and may be secrets.
    const [program = '', ...words] = wordsOf(run.replace(/^(?:\s*[A-Za-z_]\w*=\S*)+/, ''))
    const paths = words.filter((word) => /^\/.*(?:\.ts|\/tsx|\/node|\/comfyume-backup)$/.test(word))
    return { name, argv: wordsOf(rest), program, paths, log }
  }
  return undefined
}

/** What a crontab line runs, without time and log. Undefined if that is nothing, or cron would refuse it. */
function jobOf(text: string): string | undefined {
  const line = readCronLine(text)
  const run = line && toolkitRun(line)
  return run ? [run.name, ...run.argv].join(' ') : line?.command
}

/** `>>/a.log`, `2>&1`, `&>/a.log`. */
const redirections = /(?:(?<=\s)\d)?&?>>?&?\s*[^\s;&|]+/g

function wordsOf(text: string): string[] {
  return text.replace(/["']/g, '').split(/\s+/).filter(Boolean)
}

/** The marks around the toolkit's lines in a crontab. Text between them is replaced; other lines stay. */
const begin = (on: HostName) =>
  `# BEGIN comfyume-backup ${on}. "comfyume-backup setup ${on}" replaces what is between these marks.`
const beginning = /^# BEGIN comfyume-backup (verda|mello)\./
const end = '# END comfyume-backup'

/**
 * A crontab with `ours` between the marks, at the end, so its variables hold for no other line. Our job
 * outside the marks would run twice, so it becomes a comment. Pure.
 */
export function crontabWith(there: string, ours: string, on: HostName): string {
  const own = ours.trim().split('\n')
  const jobs = new Set(own.flatMap((line) => jobOf(line) ?? []))
  const others = withoutBlock(there, own)
    .map((line) => (jobs.has(jobOf(line) ?? '') ? `# now between the marks below: ${line}` : line))
    .join('\n')
    .trimEnd()
  return [...(others === '' ? [] : [others, '']), begin(on), ...own, end, ''].join('\n')
}

/** Whether our lines are between the marks, and nowhere else. */
export function isInstalled(there: string, ours: string, on: HostName): boolean {
  return there.trim() !== '' && crontabWith(there, ours, on).trim() === there.trim()
}

/** The machine whose toolkit lines are between the marks. */
export function machineOf(there: string): HostName | undefined {
  for (const line of there.split('\n')) {
    const [, machine] = beginning.exec(line) ?? []
    if (machine) return machine as HostName
  }
  return undefined
}

/** The lines outside the marks, minus a whole crontab of ours from before there were marks. */
function withoutBlock(there: string, own: readonly string[]): string[] {
  const lines = there.split('\n')
  const from = lines.findIndex((line) => beginning.test(line))
  const to = lines.findIndex((line, index) => index > from && line === end)
  const outside = from >= 0 && to > from ? lines.toSpliced(from, to - from + 1) : lines
  const whole = outside.includes(own[0] as string)
  return whole ? outside.filter((line) => line === '' || !own.includes(line)) : outside
}
