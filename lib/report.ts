import type { CommandName } from './inventory.ts'

export type Status = 'stored' | 'unchanged' | 'failed' | 'skipped'

/** What came of one item in one store. */
export interface StoreOutcome {
  status: Status
  key?: string
  bytes?: number
  sha256?: string
  /** Of an item that is stored file by file; `bytes` are then those stored in this run. */
  files?: FileOutcome[]
  error?: string
}

/** One file of an item that is stored file by file. */
export interface FileOutcome {
  status: Exclude<Status, 'skipped'>
  key: string
  bytes: number
  sha256?: string
  error?: string
}

export interface ItemOutcome {
  item: string
  /** `failed` when any of its stores is. */
  status: Status
  /** Why it failed or was skipped. */
  reason?: string
  /** Nothing of it is on its host, and nothing of it is required. */
  absent?: true
  stores: Record<string, StoreOutcome>
  warnings?: string[]
}

/** What a run did; printed by --json and kept as `runs/…` in each store that it wrote to. */
export interface Report {
  command: CommandName
  environment: string
  startedAt: string
  finishedAt: string
  ok: boolean
  items: ItemOutcome[]
  rotated: { store: string; key: string; reasons: string[] }[]
  /** What is wrong beyond the items: a refused rotation, a report that could not be kept. Any of them makes `ok` false. */
  problems: string[]
  safeToShutDown?: boolean
}

/** 0 all done; 1 an item or a store failed; 75 (EX_TEMPFAIL) every item is being backed up by another process. */
export function exitCode(report: Report): 0 | 1 | 75 {
  if (!report.ok) return 1
  return report.items.length > 0 && report.items.every(({ reason }) => reason?.startsWith(busyReason))
    ? 75
    : 0
}

/** How the reason of an item begins that another process is backing up. */
export const busyReason = 'is being backed up by '

/** An item's status from those of its stores. */
export function overall(outcomes: readonly StoreOutcome[]): Status {
  const has = (status: Status) => outcomes.some((outcome) => outcome.status === status)
  return has('failed') ? 'failed' : has('stored') ? 'stored' : has('unchanged') ? 'unchanged' : 'skipped'
}
