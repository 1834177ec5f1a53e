import type { Adopted } from './adopt.ts'

/** What was found of one archive. */
export interface Checked {
  store: string
  item: string
  /** Of the archive. */
  key: string
  status: 'good' | 'broken' | 'unverified' | 'gone'
  /** What is wrong with it, or why it could not be compared. */
  reason?: string
  /** What to do about a broken one. */
  advice?: string
  bytes: number
  /** Of what was read; absent where nothing had to be, or could be. */
  sha256?: string
}

/** What became of one store in a run. */
export interface StoreReport {
  /** `left out`: it is not one of this machine's, and was not asked for by name. */
  status: 'read' | 'failed' | 'left out'
  reason?: string
  /** How many lie there. */
  archives: number
  /** Read in this run. */
  bytes: number
}

/** What a run of verify did; printed by --json. */
export interface VerifyReport {
  command: 'verify'
  environment: string
  startedAt: string
  finishedAt: string
  ok: boolean
  stores: Record<string, StoreReport>
  checked: Checked[]
  adopted: Adopted[]
  /** How many archives were not read: for lack of budget, or because their store failed. */
  unread: number
  /** What a person should know, though nothing is wrong. */
  warnings: string[]
  /** What is wrong beyond the archives that were read. Any of them makes `ok` false. */
  problems: string[]
}
