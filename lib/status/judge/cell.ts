import type { Broken, Verified, VerifiedItem } from '../../backup/verified.ts'
import type { Hours, Item, StoreName } from '../../inventory.ts'
import { minuteOf } from '../../text.ts'
import { type Expected, graceHours } from './expected.ts'
import type { Runs } from './runs.ts'

/** One item in one store: a cell of the coverage table. */
export interface Cell {
  item: string
  title: string
  store: StoreName | 'git'
  /** `fresh`: within its schedule. `by hand`: has none. `absent`: nothing exists. `unknown`: not seen. */
  state: 'fresh' | 'by hand' | 'overdue' | 'missing' | 'absent' | 'unknown'
  /** The time of this state. */
  asOf: Date
  newest?: { key: string; time: Date; bytes: number; sha256?: string }
  /** For an increment: how many archives a restore unpacks, including itself. */
  links?: number | undefined
  /** When it was last known to be safe there: its newest copy was made, or a run found no change. */
  freshAt?: Date
  /** When cron stores it there, and after how many hours without success it is overdue. */
  hours?: Hours
  graceHours?: number
  /** Names, and distinct contents: on SFS, unchanged days are links to one file. */
  copies: number
  contents: number
  /** Of all contents, each counted once. */
  bytes: number
  /** Older copies were not listed: counts start here. */
  since?: Date
  /** How many copies the bucket's rule keeps, or would keep on a store that never rotates. */
  kept?: number
  /** Warnings in the newest copy's record. */
  warnings?: string[]
  /** What `verify` knows of it; absent if it never read that store. */
  verified?: Omit<VerifiedItem, 'item'>
  /** For models: how many live ones are missing there. */
  lacking?: number
  history: Day[]
}

/** The archives of one day, and their total size. */
export interface Day {
  /** `YYYY-MM-DD`, UTC. */
  day: string
  archives: number
  bytes: number
}

/** Clocks of two machines may differ by this much, in milliseconds, without a finding. */
export const clockToleranceMs = 5 * 60_000

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

/** An empty cell. */
export function emptyCell(item: Item, store: Cell['store'], state: Cell['state'], asOf: Date): Cell {
  const { name, title } = item
  return { item: name, title, store, state, asOf, copies: 0, contents: 0, bytes: 0, history: [] }
}

/** A cell of a shelf that could not be seen: known only from what runs report. */
export function unknownCell({ item, store, hours }: Expected, runs: Runs, now: Date): Cell {
  const freshAt = runs.lastSuccess(item.name, store, now)?.time
  return { ...emptyCell(item, store, 'unknown', now), freshAt, hours, graceHours: hours && graceHours(hours) }
}

/** What `verify` knows of an item. */
export function verifiedOf(verified: Verified | undefined, name: string): Cell['verified'] {
  const { item: _, ...told } = verified?.items.find(({ item }) => item === name) ?? { item: name }
  return 'archives' in told ? told : undefined
}

/** `it was read at 2026-11-24 05:55 and has other content than its record` */
export function foundInWords({ at, reason }: Broken): string {
  return `verify read it at ${minuteOf(new Date(at))} and found that it ${reason}`
}
