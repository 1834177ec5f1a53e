import { nextTime, readCrontab, toolkitRun } from '../../crontab.ts'
import { type CommandName, items } from '../../inventory.ts'

/** A crontab line that runs a backup. */
export interface CronRun {
  /** Whose crontab: `verda`, `mello`. */
  host: string
  command: CommandName
  flags: string
  schedule: string
}

/** The next run of each line. */
export interface NextRun {
  host: string
  command: CommandName
  flags: string
  time: Date
}

/** The crontab lines that run backups. Pure. */
export function readCronRuns(host: string, text: string): CronRun[] {
  return readCrontab(text).lines.flatMap((line) => {
    const { name, argv = [] } = toolkitRun(line) ?? {}
    return isCommand(name) ? [{ host, command: name, flags: argv.join(' '), schedule: line.schedule }] : []
  })
}

/** Soonest first, without lines that never run. Pure. */
export function nextRuns(runs: readonly CronRun[], now: Date): NextRun[] {
  return runs
    .flatMap(({ schedule, ...run }) => {
      const time = nextTime(schedule, now)
      return time === undefined ? [] : [{ ...run, time }]
    })
    .sort((a, b) => a.time.getTime() - b.time.getTime())
}

function isCommand(name: string | undefined): name is CommandName {
  return items.some(({ commands }) => name !== undefined && name in commands)
}
