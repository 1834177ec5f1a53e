import type { Item, RestoreSource } from '../../inventory.ts'
import type { Offer, Ranked } from '../../restore-order.ts'
import type { PlanNote } from '../report.ts'

/** What a restore will do: `--dry-run` prints it, a run carries it out. */
export interface RestorePlan {
  command: 'restore'
  environment: string
  now: Date
  at?: Date
  /** The folder that everything goes below: `/`, or another one for a drill. */
  root: string
  items: PlannedItem[]
  /** What the operator must know first: what is missing, newer elsewhere or could not be checked. */
  notes: PlanNote[]
}

/** One item, with its usable copies. */
export interface PlannedItem {
  item: string
  title: string
  kind: Item['capture']['kind']
  /** Best first; empty when there is none. Always empty for models, which are separate files. */
  candidates: Offer[]
  passed: Ranked['passed']
  newer?: Offer
  /** For the models item: each model. */
  models?: PlannedModel[]
  /** Why it is deliberately not restored; no failure. */
  leftOut?: string
  /** Why it cannot be restored; a failure. */
  missing?: string
}

/** How a model would come back. `in the way`: another file has its name. */
export interface PlannedModel {
  path: string
  bytes: number
  how: 'there' | 'link' | 'download' | 'in the way'
  from?: RestoreSource
  /** The newer content known to be broken, which an older one replaces. */
  instead?: string
}
