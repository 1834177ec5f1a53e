import { type BucketName, buckets, type StoreName, stores } from '../inventory.ts'
import type { Settings } from '../settings.ts'
import type { Memory } from './memory.ts'
import type { SeenShelf } from './seen.ts'
import type { Vantage } from './vantage.ts'

/** One look: from where, at what, and what is remembered of earlier ones. */
export interface Look {
  settings: Settings
  vantage: Vantage
  /** Those that may be looked at. */
  wanted: ReadonlySet<StoreName>
  memory: Memory
  /** Verda is marked as off in this very run. */
  markOff: boolean
  now: Date
}

/** Every store that something goes to. */
export function storesOf({ hetzner }: Settings): StoreName[] {
  return (Object.keys(stores) as StoreName[]).filter((name) => name !== 'hetzner' || hetzner !== undefined)
}

/** The shelves of a store that is not looked at, or could not be. */
export function blankShelf(
  store: StoreName,
  title: string,
  now: Date,
  problem?: string,
  bucket?: BucketName,
): SeenShelf {
  return {
    store,
    ...(bucket && { bucket }),
    title,
    state: problem === undefined ? 'left out' : 'unseen',
    at: now,
    ...(problem !== undefined && { problem }),
    files: [],
    texts: {},
  }
}

export const bucketNames = Object.keys(buckets) as BucketName[]
