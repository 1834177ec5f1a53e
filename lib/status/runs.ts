import { type StoreName, stores } from '../inventory.ts'
import { readReport, type StoredItem, type StoredOutcome, type StoredReport } from './stored-report.ts'

export interface Success {
  /** When the run began: what it stored, or found unchanged, is from then. */
  time: Date
  ended: Date
  key?: string
  bytes?: number
}

/** The report of a run that lies in a store and was not read; the time is that of its name. */
export interface UnreadReport {
  command: string
  store: StoreName
  time: Date
}

/** What the run reports that were read tell, from whichever store. */
export interface Runs {
  /** Newest first, each run once. */
  reports: StoredReport[]
  /** The newest run not after `limit` that brought an item to a store, or found it there unchanged. */
  lastSuccess(item: string, store: StoreName | 'git', limit: Date): Success | undefined
  /**
   * What the newest run did that had anything to do with an item in a store. Undefined where the store has a report of that command that is newer and was not read: of a
   * bucket fewer are read than of a folder, and what failed long ago may have succeeded since.
   */
  lastOutcome(
    item: string,
    store: StoreName | 'git',
    limit: Date,
  ): { report: StoredReport; status: string; error?: string } | undefined
  /** Whether the newest run that looked for an item, as far as a store may speak of it, found that its host has nothing of it, and needs nothing. */
  isAbsent(item: string, store: StoreName, limit: Date): boolean
}

/** The text of a kept report, and the store that it was read from. */
export interface Told {
  text: string
  from: StoreName
}

export function runsOf(told: Iterable<Told>, unread: readonly UnreadReport[] = []): Runs {
  const byStart = new Map<string, StoredReport>()
  const fromShare = new Set<StoredReport>()
  for (const { text, from } of told) {
    const read = readReport(text)
    const report = read && stores[from].rotates ? ofItsOwn(read, from) : read
    if (report && stores[from].rotates) fromShare.add(report)
    if (report) byStart.set(`${report.command} ${report.startedAt.toISOString()}`, report)
  }
  const newestUnread = new Map<string, Date>()
  for (const { command, store, time } of unread) {
    const key = `${command} ${store}`
    if (time > (newestUnread.get(key) ?? never)) newestUnread.set(key, time)
  }
  const reports = [...byStart.values()].sort((a, b) => b.startedAt.getTime() - a.startedAt.getTime())

  function* outcomes(item: string, store: string, limit: Date) {
    for (const report of reports) {
      if (report.startedAt > limit) continue
      const one = report.items.find((outcome) => outcome.item === item)
      const outcome = one?.stores.get(store) ?? (one && failedAltogether(one))
      if (outcome) yield { report, outcome }
    }
  }

  return {
    reports,
    lastSuccess(item, store, limit) {
      for (const { report, outcome } of outcomes(item, store, limit)) {
        if (outcome.status !== 'stored' && outcome.status !== 'unchanged') continue
        const { startedAt: time, finishedAt: ended } = report
        const { key, bytes } = outcome
        return { time, ended, ...(key !== undefined && { key }), ...(bytes !== undefined && { bytes }) }
      }
      return undefined
    },
    lastOutcome(item, store, limit) {
      for (const { report, outcome } of outcomes(item, store, limit)) {
        const { status, error } = outcome
        if (report.startedAt < (newestUnread.get(`${report.command} ${store}`) ?? never)) return undefined
        return { report, status, ...(error !== undefined && { error }) }
      }
      return undefined
    },
    isAbsent(item, store, limit) {
      const told = reports
        .filter((report) => report.startedAt <= limit && (stores[store].rotates || !fromShare.has(report)))
        .flatMap(({ items }) => items.filter((one) => one.item === item))
        .find(({ absent, status }) => absent || status !== 'skipped')
      return told?.absent === true
    },
  }
}

const never = new Date(0)

/**
 * What a report on the share may tell: how backup-cron brought things to the share itself. Whoever has Verda writes there what they like, and must not make
 * anybody believe that all is well in the stores that they cannot reach.
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

/** What failed before any store was thought of. */
function failedAltogether({ status, reason, stores }: StoredItem): StoredOutcome | undefined {
  if (status !== 'failed' || stores.size > 0) return undefined
  return { status, ...(reason !== undefined && { error: reason }) }
}
