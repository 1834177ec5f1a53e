import type { Chance } from './chance.ts'
import type { HeldFile } from './files.ts'
import type { Remembered } from './look.ts'
import type { Stock } from './stock.ts'
import type { Tally } from './tally.ts'
import type { World } from './world.ts'

/** One simulated life on its way: the world, what watches it, and what people there know. */
export interface Story {
  world: World
  /** When it began. */
  start: number
  stock: Stock
  tally: Tally
  chance(name: string): Chance
  /** Archives that the simulation damaged, until a person has done something about them. */
  damage: Damage[]
  /** Broken archives that verify found, and nobody has done anything about yet. */
  found: { store: string; key: string }[]
  /** Archives without a record that a killed run may have left. */
  mayHaveOrphans: boolean
  /** Until when the last trouble may still be seen, by the truth. */
  troubledUntil: number
  /** Until when what a wrong clock dated may still count for something. */
  clockTroubleUntil: number
  /** When a run last said that an item is safe in a store: `item store`. */
  safeAt: Map<string, number>
  remembered: Remembered
  /** What is to happen later: the ends of outages, restores that take their time. */
  later: { at: number; act: () => Promise<void> }[]
}

export interface Damage {
  store: 'sfs' | 'mello' | 'r2'
  item: string
  how: 'other bytes' | 'cut short' | 'gone'
  /** What lies there in its place; absent when it is gone. */
  file?: HeldFile
  /** Every name that it had. */
  keys: string[]
}
