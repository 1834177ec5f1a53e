import type { Adopted } from './adopt.ts'

/** The result for one archive. */
export interface Checked {
  store: string
  item: string
  /** The archive's key. */
  key: string
  status: 'good' | 'broken' | 'unverified' | 'gone'
  /** What is wrong, or why it could not be compared. */
  reason?: string
  /** Broken and already reported, where nothing can be removed and a newer archive is good: not a failure. */
  known?: boolean
  /** What to do about a broken archive. */
  advice?: string
  bytes: number
  /** Of what was read; absent if nothing had to be or could be. */
  sha256?: string
}

/** The result for one store. */
export interface StoreReport {
  /** `left out`: not a store of this machine, and not requested by name. */
  status: 'read' | 'failed' | 'left out'
  reason?: string
  /** How many archives it has. */
  archives: number
  /** Read by this run. */
  bytes: number
}

/** What verify did; printed by --json. */
export interface VerifyReport {
  command: 'verify'
  environment: string
  startedAt: string
  finishedAt: string
  ok: boolean
  stores: Record<string, StoreReport>
  checked: Checked[]
  adopted: Adopted[]
  /** Archives without a record that were judged to be no backup, so they got none. */
  refused: { store: string; item: string; key: string; reason: string }[]
  /** How many archives were not read, because the budget ran out or their store failed. */
  unread: number
  /** Worth knowing, though nothing is wrong. */
  warnings: string[]
  /** Problems other than the archives read. Any of them makes `ok` false. */
  problems: string[]
}
