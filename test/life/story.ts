import type { Chance } from './chance.ts'
import type { HeldFile } from './files.ts'
import type { Remembered } from './look.ts'
import type { Stock } from './stock.ts'
import type { Tally } from './tally.ts'
import type { World } from './world.ts'

/** A simulated life in progress: the world, its watchers, and what its people know. */
export interface Story {
  world: World
  /** The start time. */
  start: number
  stock: Stock
  tally: Tally
  chance(name: string): Chance
  /** Archives that the simulation damaged and no person has dealt with yet. */
  damage: Damage[]
  /** Broken archives that verify found and no person has dealt with yet. */
  found: { store: string; key: string }[]
  /** Archives without a record that a killed run may have left. */
  mayHaveOrphans: boolean
  /** Until when the last trouble may still show, by true time. */
  troubledUntil: number
  /** Until when anything dated by a wrong clock may still matter. */
  clockTroubleUntil: number
  /** When a run last reported an item as safe in a store: `item store`. */
  safeAt: Map<string, number>
  remembered: Remembered
  /** What happens later: ends of outages, slow restores. */
  later: { at: number; act: () => Promise<void> }[]
}

export interface Damage {
  store: 'sfs' | 'mello' | 'r2'
  item: string
  how: 'other bytes' | 'cut short' | 'gone'
  /** What replaced it; absent when it is gone. */
  file?: HeldFile
  /** All its names. */
  keys: string[]
}
