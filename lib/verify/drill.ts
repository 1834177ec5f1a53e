import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { StoreName } from '../inventory.ts'
import { messageOf } from '../message.ts'
import { carryOutRestore } from '../restore/carry-out.ts'
import { prepareRestore } from '../restore/prepare.ts'
import type { ItemOutcome } from '../restore/report.ts'
import type { RestoreRequest } from '../restore/request.ts'
import { plannedItem, type RestoreWatcher, type Site } from '../restore/site.ts'
import { makeScratch } from '../scratch.ts'
import type { Settings } from '../settings.ts'
import { differencesFrom } from './compare.ts'

/** Whether one item came back, and from which copy. */
export interface Drilled
  extends Pick<ItemOutcome, 'source' | 'key' | 'time' | 'bytes' | 'sha256' | 'passed'> {
  item: string
  /** `left out`: there is nothing of it that would have to come back, or the flags leave its sources out. */
  status: 'restorable' | 'not restorable' | 'left out'
  reason?: string
}

/** What a drill found; printed by --json. */
export interface DrillReport {
  command: 'verify'
  drill: true
  environment: string
  startedAt: string
  finishedAt: string
  ok: boolean
  /** What the plan of the restore said on top. */
  notes: string[]
  items: Drilled[]
}

export interface DrillRequest {
  /** Items or groups; absent: all but the models, which a drill does not download. */
  only?: string[]
  /** Absent: every source, in the order that a restore has. */
  stores?: readonly StoreName[]
}

/**
 * Restores the newest of everything into a scratch folder, by the very steps of a restore, and compares what lies there then with what the archives
 * hold. The folder is gone afterwards. It needs as much room as all of it takes.
 */
export async function drill(
  settings: Settings,
  request: DrillRequest,
  watch: RestoreWatcher,
  clock: () => Date,
  onItem: (drilled: Drilled) => void,
): Promise<DrillReport> {
  const now = clock()
  const root = await makeScratch(tmpdir(), 'comfyume-drill')
  try {
    const { site, steps } = await planDrill(settings, request, now, watch, root)
    const { items: outcomes } = await carryOutRestore(site, steps, clock)
    const items: Drilled[] = []
    for (const outcome of outcomes) {
      const drilled = await judge(site, outcome)
      items.push(drilled)
      onItem(drilled)
    }
    return {
      command: 'verify',
      drill: true,
      environment: settings.environment,
      startedAt: now.toISOString(),
      finishedAt: clock().toISOString(),
      ok: items.every(({ status }) => status !== 'not restorable'),
      notes: site.plan.notes,
      items,
    }
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

/** The restore that a drill carries out. */
export function planDrill(
  settings: Settings,
  { only, stores }: DrillRequest,
  now: Date,
  watch: RestoreWatcher,
  root = path.join(tmpdir(), 'comfyume-drill'),
) {
  const request: RestoreRequest = {
    ...(only ? { only } : {}),
    ...(stores ? { from: [...stores] } : {}),
    prefer: 'order',
    withModels: false,
    withContainers: only === undefined,
    skipSfs: false,
  }
  return prepareRestore(settings, request, { root, now, watch })
}

async function judge(site: Site, outcome: ItemOutcome): Promise<Drilled> {
  const { item, status, reason, source, key, time, bytes, sha256, passed } = outcome
  const from = {
    ...(source && key ? { source, key } : {}),
    ...(time ? { time } : {}),
    ...(bytes === undefined ? {} : { bytes }),
    ...(sha256 ? { sha256 } : {}),
    ...(passed ? { passed } : {}),
  }
  const image = plannedItem(site, item)?.kind === 'image'
  // An image was read and compared with its record; to load it takes an engine, which a drill leaves alone.
  if (image && status === 'skipped' && sha256) return { item, status: 'restorable', ...from }
  if (status === 'skipped') return { item, status: 'left out', ...(reason ? { reason } : {}) }
  if (status === 'failed') return { item, status: 'not restorable', ...(reason ? { reason } : {}), ...from }
  const found = await differencesFrom(site, outcome).catch((error) => [messageOf(error)])
  if (found.length === 0) return { item, status: 'restorable', ...from }
  const more = found.length > 3 ? `; and ${found.length - 3} more` : ''
  return { item, status: 'not restorable', reason: `${found.slice(0, 3).join('; ')}${more}`, ...from }
}
