import type { StoreName } from '../inventory.ts'
import type { Selected } from '../select.ts'
import type { Settings } from '../settings.ts'
import type { Archive } from './archives.ts'
import type { Memory } from './memory.ts'
import { chanceOrder, choose, readingOrder } from './order.ts'
import type { StoreView } from './survey.ts'

/** What an operator asked for. */
export interface VerifyRequest {
  selected: readonly Selected[]
  /** The stores asked for by name; absent: every one. */
  named?: readonly StoreName[]
  /** How much may be read. */
  budget?: number
  sample: boolean
  adopt: boolean
}

/** Everything that one run is going to read; `--dry-run` prints it, the run carries it out. */
export interface VerifyPlan {
  environment: string
  now: Date
  budget?: number
  adopt: boolean
  /** The first for which the budget has no more room, though alone it would have: the next run begins with it. */
  next?: Archive
  stores: StorePlan[]
}

export interface StorePlan {
  view: StoreView
  memory: Memory
  /** In this order. */
  reads: Archive[]
  /** What the budget leaves for another run. */
  left: Archive[]
  /** Whether `view` has everything that lies there, so that what is remembered of more can be forgotten. */
  complete: boolean
}

/** `random`: for --sample; gives numbers from 0 to below 1. */
export function planReads(
  request: VerifyRequest,
  stores: readonly { view: StoreView; memory: Memory }[],
  settings: Settings,
  now: Date,
  random: () => number,
  everything: boolean,
): VerifyPlan {
  const listed = stores.map(({ view, memory }) => ({ byItem: view.byItem, memory }))
  const order = request.sample ? chanceOrder(listed, random) : readingOrder(listed, request.adopt)
  const { chosen, left } = choose(order, request.budget)
  const next = request.sample ? undefined : left.find(({ bytes = 0 }) => bytes <= (request.budget ?? 0))
  return {
    environment: settings.environment,
    now,
    ...(request.budget !== undefined ? { budget: request.budget } : {}),
    adopt: request.adopt,
    ...(next ? { next } : {}),
    stores: stores.map(({ view, memory }) => ({
      view,
      memory,
      reads: chosen.filter(({ store }) => store === view.name),
      left: left.filter(({ store }) => store === view.name),
      complete: everything && view.failures.length === 0 && view.leftOut === undefined,
    })),
  }
}

export function bytesOf(archives: readonly Archive[]): number {
  return archives.reduce((sum, { bytes = 0 }) => sum + bytes, 0)
}
