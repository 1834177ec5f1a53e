import * as v from 'valibot'
import { listOf, orNone, readJson, time } from '../../files/json.ts'
import { type StoreName, stores } from '../../inventory.ts'

export interface Success {
  /** When the run started, or earlier by the store's clock: what it stored or found unchanged is from then. */
  time: Date
  ended: Date
  key?: string
  bytes?: number
}

/** An unread report in a store; the time is from its name. */
export interface UnreadReport {
  command: string
  store: StoreName
  time: Date
}

export function latest(a: Date | undefined, b: Date | undefined): Date | undefined {
  return a && (!b || a >= b) ? a : b
}

/** What the run reports tell, from all stores. */
export interface Runs {
  /** Newest first, each run once. */
  reports: StoredReport[]
  /** The newest run, no later than `limit`, that stored an item in a store or found it unchanged there. */
  lastSuccess(item: string, store: StoreName | 'git', limit: Date): Success | undefined
  /**
   * What the newest run with an item did in a store. Undefined if the store has a newer, unread report of
   * that command: fewer are read from buckets, and an old failure may be fixed since.
   */
  lastOutcome(
    item: string,
    store: StoreName | 'git',
    limit: Date,
  ): { report: StoredReport; status: string; error?: string } | undefined
  /** What the newest run that looked for an item reports about it. */
  lastLook(
    item: string,
    store: StoreName | 'git',
    limit: Date,
  ): { report: StoredReport; item: StoredItem } | undefined
  /** Whether the newest run that looked for an item, as this store can tell, found none and needs none. */
  isAbsent(item: string, store: StoreName, limit: Date): boolean
}

/** The text of a kept report, and its place. */
export interface Told extends Partial<Kept> {
  text: string
  from: StoreName
}

/** Where a report is kept. */
interface Kept {
  /** For people. */
  place: string
  key: string
  /** When the store took it, by the store's clock. */
  modified: Date
}

export function runsOf(told: Iterable<Told>, unread: readonly UnreadReport[] = []): Runs {
  const byStart = new Map<string, StoredReport>()
  const fromShare = new Set<StoredReport>()
  for (const { text, from, ...kept } of told) {
    const one = readReport(text)
    const read = one && { ...one, ...kept, at: earliest(one.startedAt, kept.modified) }
    const report = read && stores[from].rotates ? ofItsOwn(read, from) : read
    if (report === undefined) continue
    if (stores[from].rotates) fromShare.add(report)
    const run = `${report.command} ${report.startedAt.toISOString()}`
    // Every store's clock counts: the writer's may have been ahead, and with it that of its own disk.
    report.at = earliest(report.at, byStart.get(run)?.at)
    byStart.set(run, report)
  }
  const newestUnread = new Map<string, Date>()
  for (const { command, store, time } of unread) {
    const key = `${command} ${store}`
    if (time > (newestUnread.get(key) ?? never)) newestUnread.set(key, time)
  }
  const reports = [...byStart.values()].sort((a, b) => b.at.getTime() - a.at.getTime())

  function* outcomes(item: string, store: string, limit: Date) {
    for (const report of reports) {
      if (report.startedAt > limit) continue
      const one = report.items.find((outcome) => outcome.item === item)
      const outcome = one?.stores.get(store) ?? (one && failedAltogether(one))
      if (one && outcome) yield { report, one, outcome }
    }
  }

  const lastLook: Runs['lastLook'] = (name, store, limit) => {
    for (const report of reports) {
      if (report.startedAt > limit) continue
      if (fromShare.has(report) && !(store !== 'git' && stores[store].rotates)) continue
      const item = report.items.find((one) => one.item === name)
      if (item && (item.absent || item.status !== 'skipped')) return { report, item }
    }
    return undefined
  }

  return {
    reports,
    lastLook,
    lastSuccess(item, store, limit) {
      for (const { report, outcome } of outcomes(item, store, limit)) {
        if (outcome.status !== 'stored' && outcome.status !== 'unchanged') continue
        const { at: time, finishedAt: ended } = report
        return { time, ended, key: outcome.key, bytes: outcome.bytes }
      }
      return undefined
    },
    lastOutcome(item, store, limit) {
      for (const { report, one, outcome } of outcomes(item, store, limit)) {
        const { status, error } =
          one.incomplete === undefined || outcome.status === 'failed'
            ? outcome
            : { status: 'failed', error: one.incomplete }
        if (report.at < (newestUnread.get(`${report.command} ${store}`) ?? never)) return undefined
        return { report, status, error }
      }
      return undefined
    },
    isAbsent: (item, store, limit) => lastLook(item, store, limit)?.item.absent === true,
  }
}

const never = new Date(0)

/** A clock that was ahead makes nothing look newer than its store knows it to be. */
export function earliest(time: Date, other: Date | undefined): Date {
  return other && other < time ? other : time
}

/**
 * What a report on the share may prove: only backup-cron's work on the share itself. Anyone who controls
 * Verda can write there, and must not be able to fake good news about stores out of their reach.
 */
function ofItsOwn(report: StoredReport, from: StoreName): StoredReport | undefined {
  if (report.command !== 'backup-cron') return undefined
  const { safeToShutDown: _, ...rest } = report
  const own = (one: StoredItem): StoredItem => ({
    ...one,
    stores: new Map([...one.stores].filter(([store]) => store === from)),
  })
  return { ...rest, items: report.items.map(own) }
}

/** Failures before any store was tried. */
function failedAltogether({ status, reason, stores }: StoredItem): StoredOutcome | undefined {
  if (status !== 'failed' || stores.size > 0) return undefined
  return { status, error: reason }
}

/** What is read of a kept run report, which is untrusted input. Skips anything unexpected. */
export type StoredReport = v.InferOutput<typeof storedReport> & Partial<Kept>
export type StoredItem = StoredReport['items'][number]
export type StoredOutcome = v.InferOutput<typeof storedOutcome>

/** Undefined for a text that is no report. */
export function readReport(text: string): StoredReport | undefined {
  return readJson(storedReport, text)
}

const isTrue = v.fallback(v.boolean(), false)
const texts = listOf(v.string())

const storedOutcome = v.object({
  status: v.fallback(v.string(), ''),
  key: orNone(v.string()),
  bytes: orNone(v.number()),
  error: orNone(v.string()),
})
const noOutcome: StoredOutcome = { status: '' }
const storedItem = v.object({
  item: v.string(),
  status: v.string(),
  reason: orNone(v.string()),
  /** Why it was skipped: another process backs it up. */
  busy: orNone(v.string()),
  absent: isTrue,
  incomplete: orNone(v.string()),
  warnings: texts,
  /** By store. */
  stores: v.pipe(
    v.fallback(v.record(v.string(), v.fallback(storedOutcome, noOutcome)), {}),
    v.transform((stores) => new Map(Object.entries(stores))),
  ),
})
const storedReport = v.pipe(
  v.object({
    command: v.string(),
    startedAt: time,
    finishedAt: orNone(time),
    ok: isTrue,
    items: v.pipe(v.array(v.unknown()), listOf(storedItem)),
    problems: texts,
    safeToShutDown: orNone(v.boolean()),
  }),
  v.transform((report) => ({
    ...report,
    /** When it started, no later than when any store took the report. */
    at: report.startedAt,
    finishedAt: report.finishedAt ?? report.startedAt,
  })),
)
