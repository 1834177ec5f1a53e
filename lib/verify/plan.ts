import type { Selected } from '../backup/select.ts'
import type { Verified } from '../backup/verified.ts'
import type { StoreName } from '../inventory.ts'
import { stampTime } from '../naming.ts'
import type { Settings } from '../settings/settings.ts'
import type { Memory } from './memory.ts'
import type { Archive, StoreView } from './survey.ts'

export interface VerifyRequest {
  selected: readonly Selected[]
  /** The stores requested by name. Absent: all. */
  named?: readonly StoreName[]
  budget?: number
  /** No item is excluded. */
  everything: boolean
  sample: boolean
  adopt: boolean
}

/** What a run will read: `--dry-run` prints it, a run carries it out. */
export interface VerifyPlan {
  environment: string
  now: Date
  budget?: number
  sample: boolean
  adopt: boolean
  /** Where the next run starts, because the budget ran out. */
  next?: Archive
  stores: StorePlan[]
}

/** A store's content, and what is known about it. */
export interface Known {
  view: StoreView
  memory: Memory
  /** The store's newest report from `verify`. */
  before: Verified | undefined
  /** Why that could not be read. A new report would forget what other machines found. */
  beforeUnread?: string | undefined
  /** What the newest archives build on, newest first. */
  behind?: readonly Archive[]
  /** By key of a broken archive: what builds on it, oldest first. */
  affected?: Map<string, readonly Archive[]>
}

export interface StorePlan extends Known {
  /** In this order. */
  reads: Archive[]
  /** What the budget leaves for later runs. */
  left: Archive[]
  /** Whether `view` lists everything in the store, so that memory of anything else can go. */
  complete: boolean
}

/** `random`: for --sample; returns numbers from 0 to below 1. */
export function planReads(
  request: VerifyRequest,
  stores: readonly Known[],
  settings: Settings,
  now: Date,
  random: () => number,
): VerifyPlan {
  const { budget, sample, adopt, everything } = request
  const listed = stores.map(({ view, memory, behind = [] }) => ({ byItem: view.byItem, memory, behind }))
  const queues = sample ? { ...noQueues, inTurn: chanceOrder(listed, random) } : queuesOf(listed, adopt)
  const { chosen, left, next } = choose(queues, budget)
  return {
    environment: settings.environment,
    now,
    budget,
    sample,
    adopt,
    next: sample ? undefined : next,
    stores: stores.map((store) => ({
      ...store,
      reads: chosen.filter((archive) => archive.store === store.view.name),
      left: left.filter((archive) => archive.store === store.view.name),
      complete: everything && store.view.failures.length === 0 && store.view.leftOut === undefined,
    })),
  }
}

export function bytesOf(archives: readonly Archive[]): number {
  return archives.reduce((sum, { bytes = 0 }) => sum + bytes, 0)
}

/** A store's archives, one list per item, newest first, and what is remembered about them. */
export interface Listed {
  byItem: readonly (readonly Archive[])[]
  /** What the newest archives build on, newest first. */
  behind?: readonly Archive[]
  memory: Pick<Memory, 'seen' | 'isFirst'>
}

/** What is waiting to be read, over all stores. */
export interface Queues {
  /** May get a record, as requested: read before all others. */
  adoptable: Archive[]
  /** Each item's newest archive per store, then what it builds on, if never read in its current state. */
  newest: Archive[]
  /** All others, longest unread first. Archives that were never read count from when they were made. */
  inTurn: Archive[]
  /** Whether the last run had no budget left for the first of `inTurn`. */
  isDue: boolean
}

const noQueues: Queues = { adoptable: [], newest: [], inTurn: [], isDue: false }

export function queuesOf(stores: readonly Listed[], adopting = false): Queues {
  const queues: Queues = { adoptable: [], newest: [], inTurn: [], isDue: false }
  const proven = new Map<Archive, string>()
  for (const { byItem, memory } of stores) {
    for (const [place, archive] of byItem.flatMap((list) => [...list.entries()])) {
      const seen = memory.seen(archive)
      proven.set(archive, seen?.at ?? madeAt(archive))
      const isAdoptable = adopting && !archive.recorded && archive.stamp !== undefined
      if (isAdoptable) queues.adoptable.push(archive)
      else queues.inTurn.push(archive)
      if (!isAdoptable && place === 0 && seen === undefined) queues.newest.push(archive)
      queues.isDue ||= memory.isFirst(archive)
    }
  }
  for (const { memory, behind = [] } of stores)
    queues.newest.push(...behind.filter((archive) => memory.seen(archive) === undefined))
  const isFirst = (archive: Archive) => stores.some(({ memory }) => memory.isFirst(archive))
  const since = (archive: Archive) => proven.get(archive) as string
  queues.inTurn.sort(
    (a, b) => Number(isFirst(b)) - Number(isFirst(a)) || compare(since(a), since(b)) || compare(a.key, b.key),
  )
  return queues
}

/** Storing an archive reads it back, so its stamp counts as a read; without a stamp, the store's time. */
function madeAt({ stamp, modified }: Archive): string {
  return (stamp === undefined ? modified : stampTime(stamp))?.toISOString() ?? ''
}

/** The same archives in random order: `random` returns numbers from 0 to below 1. */
export function chanceOrder(stores: readonly Listed[], random: () => number): Archive[] {
  return stores
    .flatMap(({ byItem }) => byItem.flat())
    .map((archive) => ({ archive, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ archive }) => archive)
}

/**
 * What to read with a budget in bytes, in order, newest first. If the last run left the others none, they get
 * half, so that new archives never keep old ones from being read. Skips what does not fit and takes smaller
 * ones. Undefined: everything.
 */
export function choose(
  { adoptable, newest, inTurn, isDue }: Queues,
  budget: number | undefined,
): { chosen: Archive[]; left: Archive[]; next?: Archive } {
  const all = budget ?? Number.POSITIVE_INFINITY
  const chosen = new Set<Archive>()
  let rest = all
  const take = (archives: readonly Archive[], least = 0) => {
    for (const archive of archives) {
      const { bytes = 0 } = archive
      if (chosen.has(archive) || bytes > rest || rest <= least) continue
      chosen.add(archive)
      rest -= bytes
    }
  }
  take(adoptable)
  if (isDue) take(inTurn, rest / 2)
  take(newest)
  take(inTurn)
  const left = [...adoptable, ...inTurn].filter((archive) => !chosen.has(archive))
  const next = left.find(({ bytes = 0 }) => bytes <= all)
  return { chosen: [...chosen], left, next }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** A budget shared by stores that are read at the same time. */
export interface Budget {
  /** Returns whether that many bytes may be read, and if so, spends them. */
  take(bytes: number): boolean
}

/** Undefined: no limit. */
export function makeBudget(bytes: number | undefined): Budget {
  let left = bytes ?? Number.POSITIVE_INFINITY
  return {
    take(wanted) {
      if (wanted > left) return false
      left -= wanted
      return true
    },
  }
}
