import { type Copy, isWithin, type KnownCopy, knownCopy } from '../copies.ts'
import type { Hours, StoreName } from '../inventory.ts'
import { stampTime } from '../naming.ts'
import { selectCopies } from '../retention.ts'
import { type Expected, graceHours } from './expected.ts'
import type { Runs, Success } from './runs.ts'
import type { SeenFile, SeenShelf } from './seen.ts'

/** One item in one store: a cell of the coverage table. */
export interface Cell {
  item: string
  title: string
  store: StoreName | 'git'
  /**
   * `fresh`: within its schedule. `by hand`: there, and no clock says how old it may be. `absent`: there is nothing of it to be backed
   * up. `unknown`: nobody could look.
   */
  state: 'fresh' | 'by hand' | 'overdue' | 'missing' | 'absent' | 'unknown'
  /** The time that this is true of. */
  asOf: Date
  newest?: { key: string; time: Date; bytes: number; sha256?: string }
  /** When it was last known to be safe there: its newest copy was made, or a run found that nothing had changed since. */
  freshAt?: Date
  /** When cron brings it there, and after how many hours without a good run it is overdue. */
  hours?: Hours
  graceHours?: number
  /** Names, and different contents among them: on SFS the names of unchanged days are links to one file. */
  copies: number
  contents: number
  /** Of all of them, each content once. */
  bytes: number
  /** How many the bucket's rule keeps, or on a store that never rotates would keep. */
  kept?: number
  /** Of models: how many of those that live are not there. */
  lacking?: number
  history: Day[]
}

/** The archives of one day, and their bytes together. */
export interface Day {
  /** `YYYY-MM-DD`, UTC. */
  day: string
  archives: number
  bytes: number
}

/** What is wrong with single copies. */
export interface Flaws {
  /** Its size is not what the record says. */
  broken: KnownCopy[]
  /** The record cannot be read, or is another archive's. */
  unreadable: Copy[]
  noArchive: Copy[]
  noRecord: Copy[]
  /** The same of the last hour: their run may still be reading them back. */
  underWay: Copy[]
  future: Copy[]
  /** The time in the record is not within the period in the name. */
  strange: KnownCopy[]
  /** A run says that it is there, and it is not. */
  gone?: { key: string; time: Date }
}

/** Clocks of two machines may differ by so much, in milliseconds, before somebody has to set one. */
export const clockToleranceMs = 5 * 60_000

/** Assesses the copies of one item on a shelf that was looked at. */
export function cellOf(
  expected: Expected,
  shelf: SeenShelf,
  copies: readonly Copy[],
  runs: Runs,
): { cell: Cell; flaws: Flaws } {
  const { item, store, hours, keep } = expected
  const now = shelf.at
  const limit = new Date(now.getTime() + clockToleranceMs)
  const files = new Map(shelf.files.map((file) => [file.key, file]))
  const flaws: Flaws = {
    broken: [],
    unreadable: [],
    noArchive: [],
    noRecord: [],
    underWay: [],
    future: [],
    strange: [],
  }
  const good: KnownCopy[] = []
  const times = new Map<Copy, Date>()
  for (const copy of copies) {
    const text = copy.recordKey === undefined ? undefined : shelf.texts[copy.recordKey]
    const known = text === undefined ? undefined : knownCopy(copy, text)
    times.set(copy, known?.time ?? stampTime(copy.stamp))
    if (copy.bytes === undefined) flaws.noArchive.push(copy)
    else if (copy.recordKey === undefined)
      flaws[isYoung(files.get(copy.key), now) ? 'underWay' : 'noRecord'].push(copy)
    else if (text !== undefined && !known) flaws.unreadable.push(copy)
    else if (known && !known.good) flaws.broken.push(known)
    if (stampTime(copy.stamp) > limit || (known && known.time > limit)) flaws.future.push(copy)
    else if (known?.good) {
      good.push(known)
      if (!isWithin(copy.stamp, known.time)) flaws.strange.push(known)
    }
  }
  const newest = good.reduce<KnownCopy | undefined>(
    (best, one) => (best && best.time >= one.time ? best : one),
    undefined,
  )
  const run = runs.lastSuccess(item.name, store, limit)
  // What a run stored while the listing was under way may not be in it.
  if (run?.key !== undefined && !files.has(run.key) && run.ended <= now)
    flaws.gone = { key: run.key, time: run.time }
  const proven = newest && run && stands(run, good, copies, shelf) ? run.time : undefined
  const freshAt = latest(newest?.time, proven)
  const bad = new Set([...flaws.broken, ...flaws.unreadable, ...flaws.future].map(({ key }) => key))
  const counted = copies.filter(
    ({ key, bytes, recordKey }) => bytes !== undefined && recordKey !== undefined && !bad.has(key),
  )
  const contents = distinct(counted, files)
  const cell: Cell = {
    item: item.name,
    title: item.title,
    store,
    state: 'fresh',
    asOf: now,
    ...(newest && {
      newest: {
        key: newest.key,
        time: newest.time,
        bytes: newest.bytes as number,
        sha256: newest.record.sha256,
      },
    }),
    ...(freshAt && { freshAt }),
    ...(hours && { hours, graceHours: graceHours(hours) }),
    copies: counted.length,
    contents: contents.length,
    bytes: contents.reduce((sum, { bytes }) => sum + bytes, 0),
    ...(keep && { kept: keptOf(counted, times, keep, limit) }),
    history: byDay(counted.map((copy) => ({ time: times.get(copy) as Date, bytes: copy.bytes as number }))),
  }
  cell.state = stateOf(cell, runs.isAbsent(item.name, store, limit))
  return { cell, flaws }
}

/** Oldest first. */
export function byDay(copies: readonly { time: Date; bytes: number }[]): Day[] {
  const days = new Map<string, Day>()
  for (const { time, bytes } of copies) {
    const day = time.toISOString().slice(0, 10)
    const before = days.get(day)
    days.set(day, { day, archives: (before?.archives ?? 0) + 1, bytes: (before?.bytes ?? 0) + bytes })
  }
  return [...days.values()].sort((a, b) => (a.day < b.day ? -1 : 1))
}

/** A cell of a shelf that nobody could look at: of it is known what runs say that they did. */
export function unknownCell({ item, store, hours }: Expected, runs: Runs, now: Date): Cell {
  const run = runs.lastSuccess(item.name, store, now)
  return {
    item: item.name,
    title: item.title,
    store,
    state: 'unknown',
    asOf: now,
    ...(run && { freshAt: run.time }),
    ...(hours && { hours, graceHours: graceHours(hours) }),
    copies: 0,
    contents: 0,
    bytes: 0,
    history: [],
  }
}

function stateOf({ newest, freshAt, graceHours: grace, asOf }: Cell, absent: boolean): Cell['state'] {
  if (!newest || !freshAt) return absent ? 'absent' : 'missing'
  if (grace === undefined) return 'by hand'
  // What has gone from its host is not overdue: there is nothing newer to be had.
  return absent || asOf.getTime() - freshAt.getTime() <= grace * 3_600_000 ? 'fresh' : 'overdue'
}

/** Whether what a run found or left there is still good: that it was so at the time says nothing of what lies there now. */
function stands(
  { key, bytes }: Success,
  good: readonly KnownCopy[],
  copies: readonly Copy[],
  { texts }: SeenShelf,
): boolean {
  if (key === undefined || good.some((copy) => copy.key === key)) return true
  const copy = copies.find((one) => one.key === key)
  const wasRead = copy?.recordKey !== undefined && copy.recordKey in texts
  return copy?.recordKey !== undefined && !wasRead && copy.bytes === bytes
}

function latest(...times: (Date | undefined)[]): Date | undefined {
  return times.reduce((best, time) => (best && (!time || best >= time) ? best : time), undefined)
}

function isYoung(file: SeenFile | undefined, now: Date): boolean {
  const age = file ? now.getTime() - file.modified.getTime() : Number.NaN
  return age >= 0 && age < 3_600_000
}

/** Hard links of one file are one content. */
function distinct(copies: readonly Copy[], files: Map<string, SeenFile>): { bytes: number }[] {
  const contents = new Map(
    copies.map(({ key, bytes }) => [files.get(key)?.content ?? key, { bytes: bytes ?? 0 }]),
  )
  return [...contents.values()]
}

function keptOf(
  copies: readonly Copy[],
  times: Map<Copy, Date>,
  rule: NonNullable<Expected['keep']>,
  now: Date,
): number {
  return selectCopies(copies, (copy) => times.get(copy) as Date, rule, now).keep.length
}
