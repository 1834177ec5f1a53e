import { type BucketName, type StoreName, stores } from '../inventory.ts'
import { stampTime } from '../naming.ts'
import { byDay, type Day } from './cell.ts'
import type { Contents } from './contents.ts'
import { growthOf } from './room.ts'

/** How a bucket grows. */
export interface Growth {
  store: StoreName
  bucket: BucketName
  title: string
  objects: number
  bytes: number
  /** At the rate of the last 30 days, or of as many as there are. */
  bytesPerMonth: number
  /** Bytes at the end of each day that added some, oldest first. */
  days: { day: string; bytes: number }[]
}

/** What R2 asks a month, in dollars. */
export interface Price {
  now: number
  /** So much more with every month at this rate. */
  morePerMonth: number
}

const daysOfAMonth = 365.25 / 12
/** Facts, "Cloudflare R2": 0.015 $ per GB-month, 10 GB of them free; a GB there is 10^9 bytes. */
const dollarsPerGB = 0.015
const freeGB = 10

export function growthOfBuckets(contents: readonly Contents[]): Growth[] {
  return contents.flatMap((one) => {
    const { store, bucket, title, files, at } = one.shelf
    if (stores[store].kind !== 'object' || bucket === undefined) return []
    const times = timesOf(one)
    const history = files.map(({ key, bytes, modified }) => ({ time: times.get(key) ?? modified, bytes }))
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    return [
      {
        store,
        bucket,
        title,
        objects: files.length,
        bytes,
        bytesPerMonth: growthOf(history, at) * daysOfAMonth,
        days: inSum(byDay(history)),
      },
    ]
  })
}

/** Of R2 alone, whose price the facts have. */
export function priceOf(growth: readonly Growth[]): Price | undefined {
  const own = growth.filter(({ store }) => store === 'r2')
  if (own.length === 0) return undefined
  const gigabytes = own.reduce((sum, { bytes }) => sum + bytes, 0) / 1e9
  const more = own.reduce((sum, { bytesPerMonth }) => sum + bytesPerMonth, 0) / 1e9
  const cost = (size: number) => Math.max(0, size - freeGB) * dollarsPerGB
  return { now: cost(gigabytes), morePerMonth: cost(gigabytes + more) - cost(gigabytes) }
}

/** An archive is from the time in its name; the rest, from when the store took it. */
function timesOf({ archives }: Contents): Map<string, Date> {
  const times = new Map<string, Date>()
  for (const { key, recordKey, stamp } of archives.flatMap(({ copies }) => copies)) {
    times.set(key, stampTime(stamp))
    if (recordKey !== undefined) times.set(recordKey, stampTime(stamp))
  }
  return times
}

/** What there was at the end of each day. */
function inSum(days: readonly Day[]): Growth['days'] {
  let sum = 0
  return days.map(({ day, bytes }) => {
    sum += bytes
    return { day, bytes: sum }
  })
}
