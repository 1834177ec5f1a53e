import type { Told } from '../cli/output.ts'
import { type CommandName, items } from '../inventory.ts'
import { groupBy } from '../text.ts'
import { selectItems } from './select.ts'

export type Status = 'stored' | 'unchanged' | 'failed' | 'skipped'

export interface StoreOutcome {
  status: Status
  key?: string
  bytes?: number
  sha256?: string
  /** For an item stored file by file; `bytes` are then those stored in this run. */
  files?: FileOutcome[]
  error?: string
}

/** One file of an item stored file by file. */
export interface FileOutcome {
  status: Exclude<Status, 'skipped'>
  key: string
  bytes: number
  sha256?: string
  error?: string
}

export interface ItemOutcome {
  item: string
  /** `failed` if any of its stores failed or it is incomplete. */
  status: Status
  reason?: string
  /** What could not be read: the item failed, though the rest is stored. */
  incomplete?: string
  /** The other process that is backing it up. */
  busy?: string
  /** It does not exist on its host, and need not. */
  absent?: true
  /** It is absent, but earlier runs backed it up. */
  gone?: true
  stores: Record<string, StoreOutcome>
  /** What operators should know about a copy while it is the newest. */
  warnings?: string[]
  /** Those that name existing data in no copy. */
  notSaved?: string[]
}

/** The result of a run; printed by --json and kept as `runs/…` in each store that it wrote to. */
export interface Report extends Told {
  command: CommandName
  environment: string
  startedAt: string
  finishedAt: string
  items: ItemOutcome[]
  rotated: { store: string; key: string; reasons: string[] }[]
  /** Problems beyond items: refused rotation, an unsaved report. Any of them makes `ok` false. */
  problems: string[]
  /** Unusual things beyond the items that did not stop any storing. */
  warnings?: string[]
  /** Only of backup-verda: whether Verda may be shut down now, and why not. */
  safeToShutDown?: boolean
  againstShutdown?: string[]
}

/** 0 all done; 1 an item, a store, the output or a ping failed; 75 (EX_TEMPFAIL) others have every item. */
export function exitCode({ ok, items }: Report): 0 | 1 | 75 {
  if (items.length > 0 && items.every(({ busy }) => busy !== undefined)) return 75
  return ok ? 0 : 1
}

/** An item's status from those of its stores. */
export function overall(outcomes: readonly StoreOutcome[]): Status {
  const has = (status: Status) => outcomes.some((outcome) => outcome.status === status)
  return has('failed') ? 'failed' : has('stored') ? 'stored' : has('unchanged') ? 'unchanged' : 'skipped'
}

/**
 * Why Verda may not be shut down after this backup-verda; empty if it may. Everything that the command backs
 * up must have reached all its stores in this run: skipped or busy items are not known to be safe.
 */
export function reasonsAgainstShutdown(report: Report): string[] {
  const outcomes = new Map(report.items.map((outcome) => [outcome.item, outcome]))
  const expected = selectItems({ command: 'backup-verda' }).map(({ item }) => item.name)
  const notLookedAt = expected.filter((item) => !outcomes.has(item))
  return [
    ...(notLookedAt.length > 0 ? [`not looked at in this run: ${notLookedAt.join(', ')}`] : []),
    ...report.items.flatMap(({ item, status, reason, absent, gone }) =>
      status === 'skipped' && (!absent || gone || essential.has(item))
        ? [`${item} was skipped: ${reason}`]
        : [],
    ),
    ...report.items.flatMap(({ item, notSaved = [] }) => notSaved.map((what) => `${item}: ${what}`)),
    ...failures(report.items),
    ...report.problems,
  ]
}

const essential = new Set(items.flatMap((item) => (item.essential ? [item.name] : [])))

/** Short, because an item's own line has more. Items that failed for one reason share it. */
function failures(items: readonly ItemOutcome[]): string[] {
  const all = items.filter(({ status }) => status === 'failed')
  return [...groupBy(all, ({ reason = '' }) => reason)].map(([reason, outcomes]) => {
    const names = outcomes.map(({ item }) => item).join(', ')
    const failed = outcomes.flatMap(({ stores }) =>
      Object.keys(stores).filter((store) => stores[store]?.status === 'failed'),
    )
    const where = failed.length > 0 ? ` (${[...new Set(failed)].join(', ')})` : ''
    return `${names} failed${where}${outcomes.length > 1 ? `: ${reason.split('\n')[0]}` : ''}`
  })
}
