import { readFileSync } from 'node:fs'
import path from 'node:path'
import { CronExpressionParser } from 'cron-parser'
import { backupFlags } from '../lib/cli/backup-manual.ts'
import { listOf, parseFlags } from '../lib/cli/flags.ts'
import type { CommandName } from '../lib/inventory.ts'
import type { Request } from '../lib/select.ts'

export interface CronLine {
  /** The five fields. */
  schedule: string
  /** All that cron gives to the shell. */
  command: string
}

export interface Crontab {
  file: string
  /** `NAME=value` lines. */
  variables: Record<string, string>
  lines: CronLine[]
}

/** Reads crontab/<name> as cron does: variables, then lines of five fields and a command. */
export function readCrontab(name: string): Crontab {
  const file = path.resolve(import.meta.dirname, '../crontab', name)
  const crontab: Crontab = { file, variables: {}, lines: [] }
  for (const text of readFileSync(file, 'utf8').split('\n')) {
    if (text.trim() === '' || text.startsWith('#')) continue
    const [, variable, value = ''] = /^([A-Z_]+)=(.*)$/.exec(text) ?? []
    const [, schedule, command] = /^((?:\S+ ){4}\S+) (\S.*)$/.exec(text) ?? []
    if (variable) crontab.variables[variable] = value.replace(/^"(.*)"$/, '$1')
    else if (schedule && command) crontab.lines.push({ schedule, command })
    else throw new Error(`${file}: neither a variable nor a line of cron: ${text}`)
  }
  return crontab
}

/** The moments of one day at which a line runs. */
export function runsOfADay({ schedule }: CronLine): { hour: number; minute: number }[] {
  const [from, to] = [new Date('2026-11-23T23:59:59Z'), new Date('2026-11-24T23:59:59Z')]
  const runs = CronExpressionParser.parse(schedule, { currentDate: from, endDate: to, tz: 'UTC' })
  return [...runs].map((date) => ({ hour: date.getUTCHours(), minute: date.getUTCMinutes() }))
}

/** What a line asks a backup command for; undefined for a line that runs none. */
export function requestOf({ command }: CronLine): Request | undefined {
  const [, name, rest = ''] = /\/scripts\/(backup-\S+)\.ts(.*?) >>/.exec(command) ?? []
  if (name === undefined) return undefined
  const flags = parseFlags(rest.split(' ').filter(Boolean), backupFlags)
  const [only, to] = [listOf(flags.only), listOf(flags.to)]
  return {
    command: name as CommandName,
    quick: flags.quick === true,
    ...(only ? { only } : {}),
    ...(to ? { to } : {}),
  }
}
