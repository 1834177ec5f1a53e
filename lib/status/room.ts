import { type StoreName, stores } from '../inventory.ts'
import type { Cell } from './cell.ts'
import type { Finding } from './finding.ts'
import type { SeenShelf } from './seen.ts'

const day = 24 * 3_600_000
/** Growth is that of so many days, or of as many as there are. */
const growthDays = 30
const alarmDays = 14

export interface Room {
  store: StoreName
  title: string
  asOf: Date
  freeBytes: number
  totalBytes: number
  /** At the rate of the last 30 days. */
  bytesPerDay: number
  /** Absent when it does not grow. */
  daysUntilFull?: number
}

/** The room left on the stores that have a bound, and how long it lasts. */
export function roomOf(shelves: readonly SeenShelf[], cells: readonly Cell[]): Room[] {
  return shelves.flatMap(({ store, title, at, room, state }) => {
    if (room === undefined || state === 'left out') return []
    const own = cells.filter((cell) => cell.store === store)
    const history = own
      .flatMap((cell) => cell.history)
      .map(({ day: date, bytes }) => ({ time: new Date(date), bytes }))
    const bytesPerDay = stores[store].rotates ? growthOfKept(own) : growthOf(history, at)
    return [
      {
        store,
        title,
        asOf: at,
        ...room,
        bytesPerDay,
        ...(bytesPerDay > 0 ? { daysUntilFull: Math.floor(room.freeBytes / bytesPerDay) } : {}),
      },
    ]
  })
}

export function roomFindings(rooms: readonly Room[], cells: readonly Cell[]): Finding[] {
  return rooms.flatMap(({ store, title, freeBytes, daysUntilFull }) => {
    const largest = cells
      .filter((cell) => cell.store === store && cell.newest)
      .reduce<Cell | undefined>((most, cell) => (bytesOf(cell) > bytesOf(most) ? cell : most), undefined)
    const base = { trouble: 'room' as const, alarm: true, store, items: [] }
    const todo = stores[store].rotates
      ? 'Make the share larger, or move away what does not belong to the cache'
      : 'Move copies away that are verified on R2 (named below), or make the disk larger'
    if (freeBytes < bytesOf(largest)) {
      const what = `${title} has no room for another backup of ${largest?.item}: ${freeBytes} bytes free, about ${bytesOf(largest)} needed`
      return [{ ...base, items: [largest?.item as string], what, todo }]
    }
    if (daysUntilFull === undefined || daysUntilFull >= alarmDays) return []
    return [{ ...base, what: `${title} is full in ${daysUntilFull} days at this rate`, todo }]
  })
}

/** Bytes a day that were added in the last 30 days. */
export function growthOf(history: readonly { time: Date; bytes: number }[], now: Date): number {
  const since = now.getTime() - growthDays * day
  const first = history.reduce((least, { time }) => Math.min(least, time.getTime()), now.getTime())
  const days = Math.max(1, Math.min(growthDays, (now.getTime() - first) / day))
  const recent = history.filter(({ time }) => time.getTime() > since && time <= now)
  return recent.reduce((sum, { bytes }) => sum + bytes, 0) / days
}

/** Where rotation keeps the number of copies as it is, what grows is each of them. */
function growthOfKept(cells: readonly Cell[]): number {
  return cells.reduce((sum, { history, contents }) => {
    const [first, last] = [history[0], history.at(-1)]
    if (!first || !last) return sum
    const days = (Date.parse(last.day) - Date.parse(first.day)) / day
    const grown = last.bytes / last.archives - first.bytes / first.archives
    return days < 1 ? sum : sum + Math.max(0, (grown / days) * contents)
  }, 0)
}

function bytesOf(cell: Cell | undefined): number {
  return cell?.newest?.bytes ?? 0
}
