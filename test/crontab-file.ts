import { readFileSync } from 'node:fs'
import path from 'node:path'
import { CronExpressionParser } from 'cron-parser'
import { backupFlags } from '../lib/backup/flags.ts'
import type { Request } from '../lib/backup/select.ts'
import { parseFlags } from '../lib/cli/flags.ts'
import { type CronLine, type Crontab, readCrontab as read, toolkitRun } from '../lib/crontab.ts'
import { isCommand } from '../lib/inventory.ts'

/** Reads crontab/<name> and throws for a line that cron would refuse. */
export function readCrontab(name: string): Crontab & { file: string } {
  const file = path.resolve(import.meta.dirname, '../crontab', name)
  const text = readFileSync(file, 'utf8')
  const crontab = read(text)
  const wanted = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'))
  if (wanted.length !== crontab.lines.length + Object.keys(crontab.variables).length)
    throw new Error(`${file}: cron would refuse a line`)
  return { file, ...crontab }
}

/** The moments of one day at which a line runs. */
export function runsOfADay({ schedule }: CronLine): { hour: number; minute: number }[] {
  const [from, to] = [new Date('2026-11-23T23:59:59Z'), new Date('2026-11-24T23:59:59Z')]
  const runs = CronExpressionParser.parse(schedule, { currentDate: from, endDate: to, tz: 'UTC' })
  return [...runs].map((date) => ({ hour: date.getUTCHours(), minute: date.getUTCMinutes() }))
}

/** What a line asks a backup command for; undefined for a line that runs none. */
export function requestOf(line: CronLine): Request | undefined {
  const { name, argv = [] } = toolkitRun(line) ?? {}
  if (!isCommand(name)) return undefined
  const { only, to, quick } = parseFlags(argv, backupFlags)
  return { command: name, only, to, quick }
}
