import { type Finding, isWrong } from '../cli/finding.ts'
import type { RestoreSource } from '../inventory.ts'
import type { Offer } from '../restore-order.ts'

export interface ItemOutcome {
  item: string
  /** `unchanged`: it was already there and the same. */
  status: 'restored' | 'unchanged' | 'failed' | 'skipped'
  /** Why it failed or was skipped. */
  reason?: string
  source?: RestoreSource
  key?: string
  /** When its sources were read, ISO in UTC. */
  time?: string
  bytes?: number
  sha256?: string
  /** False for an archive without a record: only its own checksums could be checked. */
  verified?: boolean
  /** For an older archive with paths that are not relative to `/`: the folder they are relative to. */
  base?: string
  /** Copies that were tried or considered but not used, and why. */
  passed?: { source: RestoreSource; key: string; reason: string }[]
  /** Members not put back, because no backup should hold them. */
  left?: string[]
  /** Users' files that came back without their setuid or setgid bit. */
  stripped?: string[]
  /** For an increment: how many archives were unpacked, including its own. */
  links?: number
  /** Paths in its list that its archives lack, or have only in an older state. */
  lacking?: string[]
  /** Paths that were moved aside, as they were. */
  aside?: string[]
  /** For an item that is restored file by file. */
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
export interface CheckOutcome extends Finding {
  name: string
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
  notes: PlanNote[]
  items: ItemOutcome[]
  steps: StepOutcome[]
  /** Empty in a drill, and when only some items were requested. */
  checklist: CheckOutcome[]
  /** Items half restored by this run or an earlier one. Until it is empty, backups are refused. */
  pending: string[]
  /** Where overwritten files are kept; absent when nothing was overwritten. */
  keptAside?: string
  /** What to do next. */
  next?: string
}

/** Nothing failed, and the checklist is ok. */
export function isWhole({ items, steps, checklist }: RestoreReport): boolean {
  return (
    items.every(({ status }) => status !== 'failed') &&
    steps.every(({ status }) => status !== 'failed') &&
    !checklist.some(isWrong)
  )
}

/** What the operator must know before a restore; show.ts words it. `items`: all that it applies to. */
export type PlanNote =
  | { kind: 'share not mounted yet'; root: string }
  | { kind: 'no share'; why: string }
  | { kind: 'nothing found' }
  | { kind: 'missing'; items: string[]; why: string }
  | { kind: 'not looked at'; source: RestoreSource; why: string }
  | { kind: 'in the way'; items: string[]; files: string[] }
  | { kind: 'newer'; items: string[]; newer: NotedCopy; taken: NotedCopy }
  | { kind: 'borrowed'; items: string[]; source: RestoreSource; links: string }
  | { kind: 'skipped copies'; items: string[]; why: string }
  | { kind: 'unverified'; items: string[]; source: RestoreSource }
  | { kind: 'not its own'; items: string[]; of: string; environment: string }

/** A copy that a note mentions; its time is to the minute. */
export type NotedCopy = Pick<Offer, 'source' | 'kind' | 'time'>
