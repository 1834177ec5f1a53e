import { setTimeout as sleep } from 'node:timers/promises'
import { mustHaveOf } from '../acceptance.ts'
import { type Item, items, type StoreName, stores } from '../inventory.ts'
import { modelBehind, nameOf } from '../naming.ts'
import type { Settings } from '../settings/settings.ts'
import type { AppendOnlyStore } from '../stores/store.ts'
import { messageOf } from '../text.ts'
import { type Adopted, adopt } from './adopt.ts'
import { adviceFor, type FindElsewhere } from './advice.ts'
import { checkArchive, type Inside, type Verdict, whyWorthlessInside } from './check.ts'
import type { Budget, StorePlan } from './plan.ts'
import { type Archive, buildingOn, type Shelf } from './survey.ts'

export interface Checked {
  store: string
  item: string
  key: string
  status: 'good' | 'broken' | 'unverified' | 'gone'
  /** What is wrong, or why it could not be compared. */
  reason?: string
  /** Broken and already reported, where nothing can be removed and a newer archive is good: not a failure. */
  known?: boolean
  advice?: string
  bytes: number
  /** Of what was read; absent if nothing had to be or could be. */
  sha256?: string
}

export interface StoreReport {
  /** `left out`: not a store of this machine, and not requested by name. */
  status: 'read' | 'failed' | 'left out'
  reason?: string
  archives: number
  /** Read by this run. */
  bytes: number
}

/** What verify did; printed by --json. */
export interface VerifyReport {
  command: 'verify'
  environment: string
  startedAt: string
  finishedAt: string
  ok: boolean
  stores: Record<string, StoreReport>
  checked: Checked[]
  adopted: Adopted[]
  /** Archives without a record that were judged to be no backup, so they got none. */
  refused: { store: string; item: string; key: string; reason: string }[]
  /** How many archives were not read, because the budget ran out or their store failed. */
  unread: number
  /** Worth knowing, though nothing is wrong. */
  warnings: string[]
  /** Problems other than the archives read. Any of them makes `ok` false. */
  problems: string[]
}

/** What happens while stores are read. */
export type VerifyEvent =
  | { kind: 'started'; archive: Archive }
  | { kind: 'bytes'; store: StoreName; bytes: number }
  | { kind: 'checked'; checked: Checked }
  | { kind: 'adopted'; adopted: Adopted }
  | { kind: 'refused'; archive: Archive; reason: string }
  | { kind: 'unread' }
  | { kind: 'left out'; why: string }
  /** A store, or one of its buckets, is no longer readable. */
  | { kind: 'away'; store: StoreName; why: string }
  | { kind: 'warning' | 'problem'; text: string }

export interface ReadOptions {
  settings: Settings
  clock(): Date
  budget: Budget
  elsewhere: FindElsewhere
  /** Whether archives without a record get one. */
  adopting: boolean
  tell(event: VerifyEvent): void
}

/** Rotation removes a record right after its archive. */
const rotationMs = 2000

/** The most verification work that a kill can lose. */
const savingMs = 5000

/** Reads the plan's archives of one store in order, and remembers the results. */
export async function readStore(plan: StorePlan, options: ReadOptions): Promise<void> {
  const { view, memory, reads } = plan
  const { tell } = options
  const away = new Set<AppendOnlyStore>()
  const settled = () => sleep(Math.max(0, view.listedAt + rotationMs - Date.now()))
  let saved = Date.now()
  for (const listed of reads) {
    const shelf = view.shelves.find(({ bucket }) => bucket === listed.bucket) as Shelf
    if (away.has(shelf.store)) {
      tell({ kind: 'unread' })
      continue
    }
    tell({ kind: 'started', archive: listed })
    try {
      const verdict = await checkArchive(shelf, listed, {
        environment: options.settings.environment,
        budget: options.budget,
        onBytes: (bytes) => tell({ kind: 'bytes', store: view.name, bytes }),
        ...contentFor(listed.item),
        isThere: (archive) =>
          archivesOf(plan, listed).some(({ key, bytes }) => bytes !== undefined && nameOf(key) === archive),
        settled,
      })
      await conclude(plan, shelf, verdict, options)
    } catch (error) {
      away.add(shelf.store)
      tell({ kind: 'unread' })
      tell({ kind: 'away', store: view.name, why: messageOf(error) })
      tell({ kind: 'problem', text: messageOf(error) })
    }
    if (Date.now() - saved < savingMs) continue
    saved = Date.now()
    // The final save reports a failure.
    await memory.save().catch(() => {})
  }
}

/** Reports a result, acts on it and remembers it. */
async function conclude(
  plan: StorePlan,
  shelf: Shelf,
  verdict: Verdict,
  options: ReadOptions,
): Promise<void> {
  const { memory } = plan
  const { tell } = options
  const { archive, status } = verdict
  const { store, item, key, recorded } = archive
  const checked = (one: Omit<Checked, 'store' | 'item' | 'key'>) =>
    tell({ kind: 'checked', checked: { store, item, key, ...one } })
  const at = options.clock().toISOString()
  switch (status) {
    case 'unread':
      tell({ kind: 'unread' })
      return
    case 'gone':
      checked({ status, bytes: 0 })
      if (stores[store].kind === 'object')
        tell({
          kind: 'problem',
          text: `${store}: ${key} was removed since it was listed, which no backup does: find out who can`,
        })
      return
    case 'good':
      checked({ status, bytes: verdict.bytes, sha256: verdict.sha256 })
      memory.note(archive, { at, status, sha256: verdict.sha256, recorded })
      return
    case 'unverified': {
      const { bytes, sha256, inside } = verdict
      checked({ status, reason: unverified(archive, inside), bytes, sha256 })
      memory.note(archive, { at, status, sha256, recorded })
      if (!options.adopting || archive.stamp === undefined) return
      try {
        const outcome = await adopt(shelf, verdict, options.settings, options.clock())
        if ('refused' in outcome) {
          tell({ kind: 'refused', archive, reason: outcome.refused })
          tell({ kind: 'problem', text: `${store}: ${key} is not adopted: ${outcome.refused}` })
          return
        }
        tell({ kind: 'adopted', adopted: outcome })
        // The record was made from a complete read.
        memory.note({ ...archive, recorded: true }, { at, status: 'good', sha256, recorded: true })
      } catch (error) {
        tell({ kind: 'problem', text: messageOf(error) })
      }
      return
    }
    case 'broken': {
      const { reason, bytes, sha256 } = verdict
      const content = verdict.lost ?? contentOf(verdict)
      const elsewhere = content && (await options.elsewhere(archive, content))
      const later = archive.stamp ? await buildingOn(shelf, archivesOf(plan, archive), archive) : []
      plan.affected?.set(key, later)
      const after = later.map((one) => one.key)
      const newest = [key, ...after].includes(archivesOf(plan, archive)[0]?.key ?? '')
      const { settings } = options
      const advice = adviceFor(verdict, { settings, newest, later: after, ...(elsewhere && { elsewhere }) })
      const known = memory.seen(archive)?.status === 'broken' && isMadeUpFor(plan, archive)
      checked({ status, reason, advice, bytes, sha256, ...(known && { known }) })
      memory.note(archive, { at, status, recorded, sha256, reason })
    }
  }
}

/** Whether a broken archive no longer matters: it cannot be removed, and its store has a newer good one. */
export function isMadeUpFor(plan: StorePlan, archive: Archive): boolean {
  const { memory, affected = new Map<string, Archive[]>() } = plan
  const { store, key, bucket } = archive
  if (stores[store].kind !== 'object') return false
  const list = archivesOf(plan, archive)
  const place = list.findIndex((one) => one.key === key && one.bucket === bucket)
  const newer = list.slice(0, place)
  const model = modelBehind(key) ?? key
  // A model has no stamp, and a newer version replaces only that model.
  const isOfSame = (one: Archive) => one.stamp !== undefined || modelBehind(one.key) === model
  const unsound = new Set([...affected.values()].flat().map((one) => one.key))
  return newer.some((one) => isOfSame(one) && !unsound.has(one.key) && memory.seen(one)?.status === 'good')
}

/** All archives of an item in its store, newest first. */
function archivesOf({ view }: StorePlan, { item }: Archive): Archive[] {
  return view.byItem.find((archives) => archives.some((one) => one.item === item)) ?? []
}

/** The expected content: from the record, or from reading a complete archive whose record is unusable. */
function contentOf({ record, archive, sha256 }: Verdict & { status: 'broken' }) {
  if (record) return { bytes: record.bytes ?? archive.bytes ?? 0, sha256: record.sha256 }
  return sha256 !== undefined && archive.recorded ? { bytes: archive.bytes ?? 0, sha256 } : undefined
}

function unverified({ stamp }: Archive, inside: Inside | undefined): string {
  if (inside === undefined) return 'has no record; it could be read to its end'
  const worthless = whyWorthlessInside(inside)
  if (worthless !== undefined) return `has no record; it is whole gzip, but not a backup: ${worthless}`
  const whole = `has no record; it is whole, with ${inside.members} member${inside.members === 1 ? '' : 's'}`
  return stamp === undefined ? whole : `${whole}; --adopt judges what is in it, and writes its record`
}

/** What an archive of an item must contain. */
function contentFor(name: string): { mustHave: string[]; isImage: boolean } {
  const { capture } = items.find((item) => item.name === name) as Item
  const mustHave = capture.kind === 'files' ? mustHaveOf(capture.sources) : []
  return { mustHave, isImage: capture.kind === 'image' }
}
