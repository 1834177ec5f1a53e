import { type Copy, knownCopy } from '../copies.ts'
import type { StoreName } from '../inventory.ts'
import type { Contents } from './contents.ts'
import type { Expected } from './expected.ts'
import { readReport, type StoredReport } from './stored-report.ts'

/** How much is read of a store. A folder gives its small files in one go, an object store asks a request for each. */
export interface Bounds {
  /** Records of an item, newest first. */
  records: number
  /** The same while none of them is of a good copy. */
  recordsInTrouble: number
  models: number
  /** Run reports of a command at a time, and in all. */
  reportsAtOnce: number
  reports: number
}

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
 * The records and reports to be read next, given what was read already; nothing when it is enough: the newest records of each item, and run
 * reports from the newest back until each item's last success is known.
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
    const good = withRecord.some((copy) => isGood(copy, texts))
    const first = withRecord.slice(0, records)
    const enough = good || first.some(({ recordKey }) => texts[recordKey as string] === undefined)
    for (const { recordKey } of enough ? first : withRecord.slice(0, recordsInTrouble))
      wanted.push(recordKey as string)
  }
  for (const { files } of contents.models)
    wanted.push(...files.flatMap(({ recordKey }) => recordKey ?? []).slice(0, models))
  // They lie in the bucket of the configuration and tell of what every bucket holds.
  for (const command of new Set(contents.reports.map((report) => report.command))) {
    const own = contents.reports.filter((report) => report.command === command).slice(0, reports)
    const read = own.filter(({ key }) => key in texts)
    const unread = own.filter(({ key }) => !(key in texts))
    const told = read.flatMap(({ key }) => readReport(texts[key] ?? '') ?? [])
    if (!toldOfAll(command, contents.shelf.store, expected, told))
      wanted.push(...unread.slice(0, reportsAtOnce).map(({ key }) => key))
  }
  return [...new Set(wanted)].filter((key) => !(key in texts))
}

function isGood(copy: Copy, texts: Record<string, string>): boolean {
  const text = texts[copy.recordKey as string]
  return text !== undefined && knownCopy(copy, text)?.good === true
}

/** Whether the last success of everything that a command brings to this store is known. */
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
