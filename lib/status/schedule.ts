import { type CommandName, items } from '../inventory.ts'

/** A line of a crontab that runs a backup. */
export interface CronRun {
  /** Whose crontab: `verda`, `mello`. */
  host: string
  command: CommandName
  /** As it stands there. */
  flags: string
  minutes: number[]
  /** UTC. */
  hours: number[]
}

/** The next time of each line. */
export interface NextRun {
  host: string
  command: CommandName
  flags: string
  time: Date
}

/** The lines of a crontab that run backups every day. What is written in another way is passed over. */
export function readCronRuns(host: string, text: string): CronRun[] {
  return text.split('\n').flatMap((line) => {
    const [, minute = '', hour = '', command, flags = ''] =
      /^(\S+) (\S+) \* \* \* .*\/scripts\/(backup-[a-z]+)\.ts(.*?) *>>/.exec(line) ?? []
    const [minutes, hours] = [numbers(minute, 60), numbers(hour, 24)]
    if (!isCommand(command) || !minutes || !hours) return []
    return [{ host, command, flags: flags.trim(), minutes, hours }]
  })
}

/** Soonest first. */
export function nextRuns(runs: readonly CronRun[], now: Date): NextRun[] {
  return runs
    .map(({ host, command, flags, minutes, hours }) => ({
      host,
      command,
      flags,
      time: next(minutes, hours, now),
    }))
    .sort((a, b) => a.time.getTime() - b.time.getTime())
}

function next(minutes: readonly number[], hours: readonly number[], now: Date): Date {
  const time = new Date(now)
  time.setUTCSeconds(0, 0)
  do time.setUTCMinutes(time.getUTCMinutes() + 1)
  while (!minutes.includes(time.getUTCMinutes()) || !hours.includes(time.getUTCHours()))
  return time
}

function numbers(field: string, below: number): number[] | undefined {
  if (field === '*') return Array.from({ length: below }, (_, number) => number)
  const list = field.split(',').map(Number)
  return list.every((number) => Number.isInteger(number) && number >= 0 && number < below) ? list : undefined
}

function isCommand(name: string | undefined): name is CommandName {
  return items.some(({ commands }) => name !== undefined && name in commands)
}
