import type { StoreName } from '../../inventory.ts'
import type { Seen } from '../look/seen.ts'
import type { Cell } from './cell.ts'
import type { Contents } from './contents.ts'
import type { Expected } from './expected.ts'
import type { Runs } from './runs.ts'

/** Days with a run of each command, by store. From the names of reports only, so without outcomes. */
export interface RunDays {
  command: string
  store: StoreName
  days: string[]
}

/** Calendar days without a good run for an item in a store. */
export interface BadDays {
  item: string
  store: Cell['store']
  /** The last run read for that day failed. */
  failed: string[]
  /** Cron should have stored it there, but no run left a report. */
  missed: string[]
}

/** The calendar's days, and how far back buckets with a long history are listed: more than growth needs. */
export const recentDays = 42
const dayMs = 24 * 3_600_000

export function dayOf(time: Date): string {
  return time.toISOString().slice(0, 10)
}

/** The days of the calendar, oldest first. */
export function lastDays(now: Date): string[] {
  return Array.from({ length: recentDays }, (_, index) =>
    dayOf(new Date(now.getTime() - (recentDays - 1 - index) * dayMs)),
  )
}

export function runDaysOf(contents: readonly Contents[]): RunDays[] {
  return contents.flatMap(({ shelf, reports }) =>
    [...new Set(reports.map(({ command }) => command))].map((command) => ({
      command,
      store: shelf.store,
      days: [...new Set(reports.filter((one) => one.command === command).map(({ time }) => dayOf(time)))],
    })),
  )
}

/** Only items with such days. `runs`: from all reports, including those read only for the calendar. */
export function badDaysOf(
  assessed: readonly { expected: Expected; cell: Cell }[],
  runs: Runs,
  runDays: readonly RunDays[],
  { now, verdaOff, userDataHost }: Seen,
): BadDays[] {
  const days = lastDays(now)
  const offSince = verdaOff?.answers === false ? dayOf(verdaOff.since) : undefined
  return assessed.flatMap(({ expected: { item, store, commands }, cell }) => {
    if (cell.state === 'unknown') return []
    const host = item.host === 'user data' ? userDataHost : item.host
    const known = offSince && host === 'verda' ? days.filter((day) => day < offSince) : days
    const failed = known.filter((day) => {
      const last = runs.lastOutcome(
        item.name,
        store,
        new Date(Math.min(Date.parse(day) + dayMs - 1, now.getTime())),
      )
      return last?.status === 'failed' && dayOf(last.report.startedAt) === day
    })
    const ran = runDays.filter((one) => one.store === store && commands.some((name) => name === one.command))
    const proven = new Set([...cell.history.map(({ day }) => day), ...ran.flatMap((one) => one.days)])
    const first = [...proven].sort()[0]
    const today = dayOf(cell.asOf)
    const isDue = (day: string) =>
      first !== undefined && day > first && (day < today || (day === today && cell.state === 'overdue'))
    const missed =
      cell.hours === undefined || cell.state === 'absent'
        ? []
        : known.filter((day) => isDue(day) && !proven.has(day) && !failed.includes(day))
    return failed.length + missed.length > 0 ? [{ item: item.name, store, failed, missed }] : []
  })
}
