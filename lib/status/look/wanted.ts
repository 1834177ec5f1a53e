import type { Copy } from '../../copies.ts'
import type { StoreName } from '../../inventory.ts'
import { environmentFolder } from '../../naming.ts'
import { type Contents, chainOn, knownOn } from '../judge/contents.ts'
import { dayOf, lastDays, recentDays } from '../judge/days.ts'
import { type Expected, prefixOf } from '../judge/expected.ts'
import { readReport, type StoredReport } from '../judge/runs.ts'
import type { Bounds, Recent, SeenShelf } from './seen.ts'

export const folderBounds: Bounds = {
  records: 400,
  recordsInTrouble: 400,
  models: 400,
  reportsAtOnce: 50,
  reports: 200,
}
export const bucketBounds: Bounds = {
  records: 3,
  recordsInTrouble: 10,
  models: 64,
  reportsAtOnce: 8,
  reports: 24,
}

/**
 * The records and reports to read next, given those already read; empty when done: the newest records of each
 * item, and run reports backwards until each item's last success is known.
 */
export function wantedTexts(
  contents: Contents,
  expected: readonly Expected[],
  texts: Record<string, string>,
  { records, recordsInTrouble, models, reportsAtOnce, reports }: Bounds,
): string[] {
  const wanted: string[] = []
  for (const { copies } of contents.archives) {
    const withRecord = copies.filter(({ recordKey }) => recordKey !== undefined)
    const good = withRecord.some((copy) => knownOn({ texts }, copy)?.good)
    const first = withRecord.slice(0, records)
    const enough = good || first.some(({ recordKey }) => texts[recordKey as string] === undefined)
    for (const { recordKey } of enough ? first : withRecord.slice(0, recordsInTrouble))
      wanted.push(recordKey as string)
    wanted.push(...chainTexts(copies, { ...contents.shelf, texts }))
  }
  for (const { files } of contents.models)
    wanted.push(...files.flatMap(({ recordKey }) => recordKey ?? []).slice(0, models))
  // Reports are in the bucket of the configuration, and cover all buckets.
  for (const command of new Set(contents.reports.map((report) => report.command))) {
    const own = contents.reports.filter((report) => report.command === command).slice(0, reports)
    const read = own.filter(({ key }) => key in texts)
    const unread = own.filter(({ key }) => !(key in texts))
    const told = read.flatMap(({ key }) => readReport(texts[key] ?? '') ?? [])
    if (!toldOfAll(command, contents.shelf.store, expected, told))
      wanted.push(...unread.slice(0, reportsAtOnce).map(({ key }) => key))
  }
  wanted.push(...contents.verified.slice(0, reportsOfVerify).map(({ key }) => key))
  return [...new Set(wanted)].filter((key) => !(key in texts))
}

/**
 * The reports that show how the calendar's days ended, newest first. A cron line always runs at the same
 * minute, so: the newest of each command, day and minute of the hour.
 */
export function dailyReports({ shelf, reports }: Contents, now: Date): string[] {
  const [from = ''] = lastDays(now)
  const newest = new Map<string, string>()
  for (const { key, command, time } of reports) {
    const line = `${command} ${dayOf(time)} ${time.getUTCMinutes()}`
    if (time <= now && dayOf(time) >= from && !newest.has(line)) newest.set(line, key)
  }
  return [...newest.values()].slice(0, mostDailyReports).filter((key) => !(key in shelf.texts))
}

/** Three cron lines store things in each store. */
const mostDailyReports = 3 * recentDays

/** Undefined for a bucket that is listed whole: names of models have no time. */
export function recentOf(
  { store, bucket }: Pick<SeenShelf, 'store' | 'bucket'>,
  expected: readonly Expected[],
  environment: string,
  now: Date,
): Recent | undefined {
  const own = expected.filter((one) => one.store === store && one.bucket === bucket)
  if (bucket === undefined || own.some(({ item }) => item.capture.kind === 'models')) return undefined
  const commands = [
    ...new Set(expected.flatMap((one) => (one.store === store ? one.commands : []))),
    'verify',
  ]
  const runs = `${environmentFolder(environment)}runs/`
  return {
    time: new Date(Date.parse(now.toISOString().slice(0, 10)) - (recentDays - 1) * 24 * 3_600_000),
    prefixes: [
      ...own.map(prefixOf),
      ...(bucket === 'cache' ? commands.map((command) => `${runs}${command}-`) : []),
    ],
  }
}

/** Prefixes without a good copy in the listing: their newest is older. */
export function prefixesWithout({ shelf, archives, reports, verified }: Contents): string[] {
  const withGood = archives
    .filter(({ copies }) => copies.some((copy) => knownOn(shelf, copy)?.good))
    .map(({ expected }) => prefixOf(expected))
  const keys = [...reports, ...verified].map(({ key }) => key)
  return (shelf.since?.prefixes ?? []).filter(
    (prefix) => !withGood.includes(prefix) && !keys.some((key) => key.startsWith(prefix)),
  )
}

/** The newest is complete; if it is unreadable or from the future, an earlier one is used. */
const reportsOfVerify = 5

/** The newest increment's list; if a base of it is lost, also the last earlier one's record and list. */
function chainTexts(copies: readonly Copy[], shelf: SeenShelf): string[] {
  for (const copy of copies) {
    const known = knownOn(shelf, copy)
    if (!known?.good) continue
    const chain = chainOn(shelf, known, copies, () => false)
    if (chain === undefined) return known.record.increment && known.listKey ? [known.listKey] : []
    if (chain.lost === undefined) return []
    const before = chain.links.at(-1)
    const unread = [before?.recordKey, before?.listKey].filter(
      (key) => key !== undefined && !(key in shelf.texts),
    )
    if (unread.length > 0) return unread as string[]
  }
  return []
}

/** Whether the last success is known for everything that a command stores here. */
function toldOfAll(
  command: string,
  store: StoreName,
  expected: readonly Expected[],
  told: readonly StoredReport[],
): boolean {
  const items = expected.filter((one) => one.store === store && one.commands.some((name) => name === command))
  return items.every(({ item }) => told.some((report) => succeeded(report, item.name, store)))
}

function succeeded({ items }: StoredReport, name: string, store: StoreName): boolean {
  return items.some(
    ({ item, absent, stores }) =>
      item === name && (absent || ['stored', 'unchanged'].includes(stores.get(store)?.status ?? '')),
  )
}
