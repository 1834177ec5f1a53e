import type { RestoreSource } from '../inventory.ts'

export interface ItemOutcome {
  item: string
  /** `unchanged`: it was there already, the same. */
  status: 'restored' | 'unchanged' | 'failed' | 'skipped'
  /** Why it failed or was skipped. */
  reason?: string
  source?: RestoreSource
  key?: string
  /** When its sources were read, ISO in UTC. */
  time?: string
  bytes?: number
  sha256?: string
  /** False for an archive without a record, of which only its own sums could be checked. */
  verified?: boolean
  /** Of an older archive, whose paths are not relative to `/`: the folder to which they are. */
  base?: string
  /** Copies that were tried or looked at and not taken, and why. */
  passed?: { source: RestoreSource; key: string; reason: string }[]
  /** Members that were not put back, because no backup should hold them. */
  left?: string[]
  /** Paths of what made room, as they were. */
  aside?: string[]
  /** Of an item that is restored file by file. */
  files?: {
    path: string
    status: 'linked' | 'downloaded' | 'unchanged' | 'failed'
    bytes: number
    error?: string
  }[]
}

export interface StepOutcome {
  step: string
  status: 'done' | 'unchanged' | 'failed' | 'skipped'
  /** What was done or found, or why not. */
  said: string
}

/** One line of the closing checklist. */
export interface CheckOutcome {
  check: string
  ok: boolean
  found: string
  /** What to do where it is not ok. */
  todo?: string
}

/** What a restore did; printed by --json. */
export interface RestoreReport {
  command: 'restore'
  environment: string
  root: string
  at?: string
  startedAt: string
  finishedAt: string
  ok: boolean
  notes: string[]
  items: ItemOutcome[]
  steps: StepOutcome[]
  /** Empty in a drill, and where only some items were asked for. */
  checklist: CheckOutcome[]
  /** Items that are only half back, of this run or an earlier one: while there are any, no backup is made of the machine. */
  pending: string[]
  /** Where what was overwritten is kept; absent when nothing was. */
  keptAside?: string
  /** What a person does next. */
  next?: string
}

/** Nothing failed, and nothing in the checklist is wrong. */
export function isWhole({ items, steps, checklist }: RestoreReport): boolean {
  return (
    items.every(({ status }) => status !== 'failed') &&
    steps.every(({ status }) => status !== 'failed') &&
    checklist.every(({ ok }) => ok)
  )
}
