import type { Archive } from './archives.ts'
import type { Memory } from './memory.ts'

/** What lies in one store, a list an item, each newest first, and what is remembered of it. */
export interface Listed {
  byItem: readonly (readonly Archive[])[]
  memory: Pick<Memory, 'seen' | 'isFirst'>
}

/**
 * In which order archives are read, over all stores. First those that were never verified as they are now: from each store the newest of every
 * item, then the second newest of every item, and so on, the stores in turn. Then the others, the one whose verification is oldest first. So
 * runs with a budget go through everything, and begin again.
 *
 * Before all of them comes the one for which the last run had not enough budget left, and with `unrecordedFirst` what may be adopted.
 */
export function readingOrder(stores: readonly Listed[], unrecordedFirst = false): Archive[] {
  const placed = stores.flatMap(({ byItem, memory }, store) =>
    inTurn(byItem).map((archive, place) => {
      const since = memory.seen(archive)?.at ?? ''
      const urgent = unrecordedFirst && !archive.recorded && archive.stamp !== undefined
      return { archive, store, place, since, rank: urgent ? 0 : memory.isFirst(archive) ? 1 : 2 }
    }),
  )
  return placed
    .sort((a, b) => a.rank - b.rank || compare(a.since, b.since) || a.place - b.place || a.store - b.store)
    .map(({ archive }) => archive)
}

/** The same archives in an order of chance: `random` gives numbers from 0 to below 1. */
export function chanceOrder(stores: readonly Listed[], random: () => number): Archive[] {
  return stores
    .flatMap(({ byItem }) => byItem.flat())
    .map((archive) => ({ archive, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ archive }) => archive)
}

/**
 * What a budget of so many bytes is spent on. What does not fit into the rest is left, and smaller ones behind it are taken all the
 * same. Undefined: everything.
 */
export function choose(
  order: readonly Archive[],
  budget: number | undefined,
): { chosen: Archive[]; left: Archive[] } {
  const chosen: Archive[] = []
  const left: Archive[] = []
  let rest = budget ?? Number.POSITIVE_INFINITY
  for (const archive of order) {
    const { bytes = 0 } = archive
    if (bytes <= rest) {
      chosen.push(archive)
      rest -= bytes
    } else left.push(archive)
  }
  return { chosen, left }
}

/** The first of every list, then the second of every list. */
function inTurn(lists: readonly (readonly Archive[])[]): Archive[] {
  return lists
    .flatMap((archives, list) => archives.map((archive, rank) => ({ archive, rank, list })))
    .sort((a, b) => a.rank - b.rank || a.list - b.list)
    .map(({ archive }) => archive)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
