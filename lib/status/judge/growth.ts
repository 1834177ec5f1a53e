import { type BucketName, type StoreName, stores } from '../../inventory.ts'
import { stampTime } from '../../naming.ts'
import { bytesInWords } from '../../text.ts'
import type { SeenShelf } from '../look/seen.ts'
import { byDay, type Cell, type Day } from './cell.ts'
import type { Contents } from './contents.ts'
import type { StatusFinding } from './finding.ts'

/** The growth of a bucket. */
export interface Growth {
  store: StoreName
  bucket: BucketName
  title: string
  /** Older objects were not listed: counts start here. */
  since?: Date
  objects: number
  bytes: number
  /** From the last 30 days, or fewer if there are fewer. */
  bytesPerMonth: number
  /** Bytes at the end of each day with new ones, oldest first. */
  days: { day: string; bytes: number }[]
}

/** The monthly cost of R2, in dollars. */
export interface Price {
  now: number
  /** The increase per month at this rate. */
  morePerMonth: number
}

const daysOfAMonth = 365.25 / 12
/** Facts, "Cloudflare R2": 0.015 $ per GB-month, 10 GB of them free; a GB there is 10^9 bytes. */
const dollarsPerGB = 0.015
const freeGB = 10

export function growthOfBuckets(contents: readonly Contents[]): Growth[] {
  return contents.flatMap((one) => {
    const { store, bucket, title, files, at, since } = one.shelf
    if (stores[store].kind !== 'object' || bucket === undefined) return []
    const times = timesOf(one)
    const history = files.map(({ key, bytes, modified }) => ({ time: times.get(key) ?? modified, bytes }))
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    return [
      {
        store,
        bucket,
        title,
        ...(since && { since: since.time }),
        objects: files.length,
        bytes,
        bytesPerMonth: growthOf(history, at) * daysOfAMonth,
        days: inSum(byDay(history)),
      },
    ]
  })
}

/** Only for R2, whose price is in the facts; undefined unless everything was listed. */
export function priceOf(growth: readonly Growth[]): Price | undefined {
  const own = growth.filter(({ store }) => store === 'r2')
  if (own.length === 0 || own.some(({ since }) => since)) return undefined
  const gigabytes = own.reduce((sum, { bytes }) => sum + bytes, 0) / 1e9
  const more = own.reduce((sum, { bytesPerMonth }) => sum + bytesPerMonth, 0) / 1e9
  const cost = (size: number) => Math.max(0, size - freeGB) * dollarsPerGB
  return { now: cost(gigabytes), morePerMonth: cost(gigabytes + more) - cost(gigabytes) }
}

/** An archive's time is in its name; other files have the store's time. */
function timesOf({ archives }: Contents): Map<string, Date> {
  const times = new Map<string, Date>()
  for (const { key, recordKey, stamp } of archives.flatMap(({ copies }) => copies)) {
    times.set(key, stampTime(stamp))
    if (recordKey !== undefined) times.set(recordKey, stampTime(stamp))
  }
  return times
}

/** The total at the end of each day. */
function inSum(days: readonly Day[]): Growth['days'] {
  let sum = 0
  return days.map(({ day, bytes }) => {
    sum += bytes
    return { day, bytes: sum }
  })
}

const day = 24 * 3_600_000
/** Growth is measured over this many days, or fewer if there are fewer. */
const growthDays = 30
const alarmDays = 14

export interface Room {
  store: StoreName
  title: string
  asOf: Date
  freeBytes: number
  totalBytes: number
  /** From the last 30 days. */
  bytesPerDay: number
  /** Absent if it does not grow. */
  daysUntilFull?: number
}

/** The free space of stores with limited space, and how long it lasts. */
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
        daysUntilFull: bytesPerDay > 0 ? Math.floor(room.freeBytes / bytesPerDay) : undefined,
      },
    ]
  })
}

export function roomFindings(rooms: readonly Room[], cells: readonly Cell[]): StatusFinding[] {
  return rooms.flatMap(({ store, title, freeBytes, daysUntilFull }) => {
    const largest = cells
      .filter((cell) => cell.store === store && cell.newest)
      .reduce<Cell | undefined>((most, cell) => (bytesOf(cell) > bytesOf(most) ? cell : most), undefined)
    const base = { trouble: 'room' as const, status: 'wrong' as const, store, items: [] }
    const todo = stores[store].rotates
      ? 'Make the share larger, or move away what does not belong to the cache'
      : 'Move copies away that are verified on R2 (named below), or make the disk larger'
    if (freeBytes < bytesOf(largest)) {
      const what = `${title} has no space for another backup of ${largest?.item}: ${bytesInWords(freeBytes)} free, about ${bytesInWords(bytesOf(largest))} needed`
      return [{ ...base, items: [largest?.item as string], what, todo }]
    }
    if (daysUntilFull === undefined || daysUntilFull >= alarmDays) return []
    return [
      {
        ...base,
        what: `${title} is full in ${daysUntilFull} days at this rate; there should be space for ${alarmDays}`,
        todo,
      },
    ]
  })
}

/** Bytes added per day over the last 30 days. */
export function growthOf(history: readonly { time: Date; bytes: number }[], now: Date): number {
  const since = now.getTime() - growthDays * day
  const first = history.reduce((least, { time }) => Math.min(least, time.getTime()), now.getTime())
  const days = Math.max(1, Math.min(growthDays, (now.getTime() - first) / day))
  const recent = history.filter(({ time }) => time.getTime() > since && time <= now)
  return recent.reduce((sum, { bytes }) => sum + bytes, 0) / days
}

/** Where rotation keeps the number of copies constant, the growth of each copy counts. */
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
