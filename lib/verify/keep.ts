import { forgetReports, saveReport } from '../backup/kept-reports.ts'
import {
  type Broken,
  foundAmong,
  newestVerified,
  type Verified,
  type VerifiedItem,
} from '../backup/verified.ts'
import { runReportDays } from '../inventory.ts'
import { environmentFolder } from '../naming.ts'
import type { Settings } from '../settings/settings.ts'
import { openStore } from '../stores/open.ts'
import { rotates } from '../stores/store.ts'
import { messageOf } from '../text.ts'
import type { Memory, Seen } from './memory.ts'
import { bytesOf, type Known, type StorePlan } from './plan.ts'
import type { VerifyReport } from './read.ts'
import type { Archive, StoreView } from './survey.ts'

/** Saves a store's findings in it, for backups and status. Throws StoreError when it is not writable. */
export async function keepFindings(
  plan: StorePlan,
  report: VerifyReport,
  settings: Settings,
  now: Date,
): Promise<void> {
  if (plan.beforeUnread !== undefined)
    throw new Error(`what was found before cannot be read and must not be lost: ${plan.beforeUnread}`)
  const store = openStore(plan.view.name, 'cache', settings)
  const folder = environmentFolder(settings.environment)
  await saveReport(store, folder, verifiedOf(plan, report))
  if (rotates(store)) await forgetReports(store, folder, 'verify', runReportDays, now)
}

/** Adds what other machines found broken in a store to this machine's memory. */
export async function recall(
  view: StoreView,
  memory: Memory,
  settings: Settings,
  now: Date,
  warn: (text: string) => void,
): Promise<Known> {
  if (view.items.length === 0) return { view, memory, before: undefined }
  const store = openStore(view.name, 'cache', settings)
  let beforeUnread: string | undefined
  const onUnread = (key: string) =>
    warn(`${view.name}: ${key} cannot be read: what it found broken counts as unread`)
  const before = await newestVerified(store, settings.environment, now, onUnread).catch((error) => {
    beforeUnread = messageOf(error)
    warn(`${view.name}: what was found there before cannot be read: ${beforeUnread}`)
    return undefined
  })
  for (const archive of view.byItem.flat()) {
    const found = foundAmong(before?.broken, archive.bucket, archive)
    if (found === undefined || (memory.seen(archive)?.at ?? '') >= found.at) continue
    const { at, reason } = found
    memory.note(archive, { at, reason, status: 'broken', recorded: archive.recorded })
  }
  return { view, memory, before, beforeUnread }
}

/** Items that this run did not list keep what the previous report said. */
function verifiedOf({ view, memory, before }: StorePlan, report: VerifyReport): Verified {
  const { environment, startedAt, finishedAt, ok } = report
  const other = <T extends { item: string }>(all: readonly T[] = []) =>
    all.filter(({ item }) => !view.items.includes(item))
  const all = view.byItem.flat()
  const broken = all.flatMap((archive) => {
    const seen = memory.seen(archive)
    return seen?.status === 'broken' ? asFound(archive, seen) : []
  })
  const refused = all.flatMap((archive) => {
    if (archive.recorded) return []
    const now = report.refused.find((one) => one.store === view.name && one.key === archive.key)
    const known = foundAmong(before?.refused, archive.bucket, archive)
    const found = now ? { at: finishedAt, reason: now.reason } : known
    return found ? asFound(archive, found) : []
  })
  const items = view.items.map((item, index): VerifiedItem => {
    const archives = view.byItem[index] ?? []
    const unread = archives.filter((archive) => memory.seen(archive) === undefined)
    const good = lastGood(archives, memory, before?.items.find((one) => one.item === item)?.good)
    return {
      item,
      archives: archives.length,
      bytes: bytesOf(archives),
      unread: { archives: unread.length, bytes: bytesOf(unread) },
      ...(good && { good }),
    }
  })
  return {
    command: 'verify',
    environment,
    store: view.name,
    startedAt,
    finishedAt,
    ok,
    broken: [...broken, ...other(before?.broken)],
    refused: [...refused, ...other(before?.refused)],
    items: [...items, ...other(before?.items)],
  }
}

/** An archive as it looks now, and what was found in it. */
function asFound(
  { bucket, item, key, bytes, modified, recorded }: Archive,
  { at, reason = 'is broken' }: Pick<Seen, 'at' | 'reason'>,
): Broken[] {
  if (bytes === undefined || modified === undefined) return []
  return [{ bucket, item, key, bytes, modified: modified.toISOString(), recorded, at, reason }]
}

function lastGood(
  archives: readonly Archive[],
  memory: StorePlan['memory'],
  before: VerifiedItem['good'],
): VerifiedItem['good'] {
  const good = archives.flatMap((archive) => {
    const seen = memory.seen(archive)
    return seen?.status === 'good' ? [{ key: archive.key, at: seen.at }] : []
  })
  if (before && archives.some(({ key }) => key === before.key)) good.push(before)
  return good.reduce<VerifiedItem['good']>((best, one) => (best && best.at >= one.at ? best : one), undefined)
}
