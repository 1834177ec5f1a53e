import { setTimeout as sleep } from 'node:timers/promises'
import { type Item, items } from '../inventory.ts'
import { messageOf } from '../message.ts'
import type { Settings } from '../settings.ts'
import type { AppendOnlyStore } from '../stores/store.ts'
import { type Adopted, adopt } from './adopt.ts'
import { adviceFor } from './advice.ts'
import type { Archive, Shelf } from './archives.ts'
import type { Budget } from './budget.ts'
import { checkArchive, type Verdict } from './check.ts'
import type { FindElsewhere } from './elsewhere.ts'
import type { Inside } from './examine.ts'
import type { StorePlan } from './plan.ts'
import type { Checked } from './report.ts'

export interface ReadStoreOptions {
  settings: Settings
  clock(): Date
  budget: Budget
  elsewhere: FindElsewhere
  /** Whether archives without a record get one. */
  adopting: boolean
  onStart(archive: Archive): void
  onBytes(bytes: number): void
  onChecked(checked: Checked): void
  onAdopted(adopted: Adopted): void
  onUnread(): void
  /** A store, or one bucket of it, can no longer be read. */
  onAway(why: string): void
  problem(text: string): void
}

/** Rotation removes a record right behind its archive. */
const rotationMs = 2000

/** A kill costs no more than this of what was verified. */
const savingMs = 5000

/** Reads what the plan has for one store, one archive after another, and remembers what it found. */
export async function readStore(plan: StorePlan, options: ReadStoreOptions): Promise<void> {
  const { view, memory, reads } = plan
  const away = new Set<AppendOnlyStore>()
  const settled = () => sleep(Math.max(0, view.listedAt + rotationMs - Date.now()))
  let saved = Date.now()
  for (const listed of reads) {
    const shelf = view.shelves.find(({ bucket }) => bucket === listed.bucket) as Shelf
    if (away.has(shelf.store)) {
      options.onUnread()
      continue
    }
    options.onStart(listed)
    try {
      const verdict = await checkArchive(shelf, listed, {
        environment: options.settings.environment,
        budget: options.budget,
        onBytes: options.onBytes,
        mustHave: mustHaveOf(listed.item),
        settled,
      })
      await conclude(plan, shelf, verdict, options)
    } catch (error) {
      away.add(shelf.store)
      options.onUnread()
      options.onAway(messageOf(error))
    }
    if (Date.now() - saved < savingMs) continue
    saved = Date.now()
    // At the end it is saved once more, and a failure is told then.
    await memory.save().catch(() => {})
  }
}

/** Tells what was found, does what follows from it, and remembers it. */
async function conclude(
  { view, memory }: StorePlan,
  shelf: Shelf,
  verdict: Verdict,
  options: ReadStoreOptions,
): Promise<void> {
  const { archive, status } = verdict
  const { store, item, key, recorded } = archive
  const about = { store, item, key }
  const at = options.clock().toISOString()
  switch (status) {
    case 'unread':
      options.onUnread()
      return
    case 'gone':
      options.onChecked({ ...about, status, bytes: 0 })
      return
    case 'good': {
      const { bytes, sha256 } = verdict
      options.onChecked({ ...about, status, bytes, sha256 })
      memory.note(archive, { at, status, sha256, recorded })
      return
    }
    case 'unverified': {
      const { bytes, sha256, inside } = verdict
      options.onChecked({ ...about, status, reason: unverified(archive, inside), bytes, sha256 })
      memory.note(archive, { at, status, sha256, recorded })
      if (!options.adopting || archive.stamp === undefined) return
      try {
        options.onAdopted(await adopt(shelf, verdict, options.settings, options.clock()))
        // It was read to its end, and its record was made from that.
        memory.note({ ...archive, recorded: true }, { at, status: 'good', sha256, recorded: true })
      } catch (error) {
        options.problem(messageOf(error))
      }
      return
    }
    case 'broken': {
      const { reason, bytes, sha256 } = verdict
      const content = contentOf(verdict)
      const elsewhere = content && (await options.elsewhere(archive, content))
      const newest = view.byItem.some(([first]) => first?.key === key && first.bucket === archive.bucket)
      const advice = adviceFor(verdict, {
        settings: options.settings,
        newest,
        ...(elsewhere ? { elsewhere } : {}),
      })
      options.onChecked({ ...about, status, reason, advice, bytes, ...(sha256 ? { sha256 } : {}) })
      memory.note(archive, { at, status, recorded, ...(sha256 ? { sha256 } : {}) })
    }
  }
}

/** What should lie there: what its record says, or where that is of no use, what was read and is whole. */
function contentOf({ record, archive, sha256 }: Verdict & { status: 'broken' }) {
  if (record) return { bytes: record.bytes ?? archive.bytes ?? 0, sha256: record.sha256 }
  return sha256 !== undefined && archive.recorded ? { bytes: archive.bytes ?? 0, sha256 } : undefined
}

function unverified({ stamp }: Archive, inside: Inside | undefined): string {
  if (inside === undefined) return 'has no record; it could be read to its end'
  if (inside.tar !== undefined)
    return `has no record; it is whole gzip, but no whole tar archive: ${inside.tar}`
  if (inside.members === 0) return 'has no record; it is whole, and empty: nothing can be restored from it'
  const whole = `has no record; it is whole, with ${inside.members} member${inside.members === 1 ? '' : 's'}`
  return stamp === undefined ? whole : `${whole}; --adopt writes its record`
}

function mustHaveOf(name: string): string[] {
  const { capture } = items.find((item) => item.name === name) as Item
  if (capture.kind === 'image') return ['*/manifest.json']
  return capture.kind === 'files' ? capture.sources.flatMap(({ mustHave }) => mustHave ?? []) : []
}
