import { CronExpressionParser } from 'cron-parser'
import type { Request } from '../../lib/backup/select.ts'
import type { HostName } from '../../lib/inventory.ts'
import { readCrontab, requestOf } from '../crontab-file.ts'

/** A crontab line that runs one of this toolkit's commands. */
export interface Line {
  host: HostName
  /** The backup it asks for; absent for the monthly verify. */
  request?: Request
  /** The minutes of an hour, UTC, at which it runs; usually none. */
  minutesOf(hour: Date): readonly number[]
}

/** The lines of both crontabs, as installed. */
export function timetable(): Line[] {
  return (['verda', 'mello'] as const).flatMap((host) =>
    readCrontab(host).lines.flatMap((line) => {
      const request = requestOf(line)
      if (request === undefined && !line.command.includes('/scripts/verify.ts')) return []
      const { minute, hour, dayOfMonth, month, dayOfWeek } = CronExpressionParser.parse(line.schedule).fields
      // Cron ORs the two when both are given, but this code would AND them.
      if (!dayOfMonth.isWildcard && !dayOfWeek.isWildcard)
        throw new Error(`${line.schedule}: two kinds of day`)
      const has = (values: readonly unknown[], value: number) => values.includes(value)
      const minutes = minute.values as readonly number[]
      return [
        {
          host,
          ...(request ? { request } : {}),
          minutesOf: (time: Date) =>
            has(hour.values, time.getUTCHours()) &&
            has(dayOfMonth.values, time.getUTCDate()) &&
            has(month.values, time.getUTCMonth() + 1) &&
            has(dayOfWeek.values, time.getUTCDay())
              ? minutes
              : [],
        },
      ]
    }),
  )
}
