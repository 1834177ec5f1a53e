import type { Host } from '../hosts/host.ts'
import type { BucketName, HostName, StoreName } from '../inventory.ts'
import type { Settings } from '../settings/settings.ts'
import type { Retry } from '../stores/s3/client.ts'
import type { AppendOnlyStore } from '../stores/store.ts'
import type { Locks } from './locks.ts'
import type { Job, Plan, Target } from './plan.ts'
import type { FileOutcome, ItemOutcome, Report, StoreOutcome } from './report.ts'
import type { brokenByStore } from './verified.ts'

/** What a run needs in addition to its plan. */
export interface RunContext {
  settings: Settings
  locks: Pick<Locks, 'busy'>
  host(name: HostName): Host
  store(name: StoreName, bucket: BucketName): AppendOnlyStore
  acceptShrink: boolean
  /** The folder for state that outlives a run on this machine; without it, none does. */
  state?: string
  emit(event: RunEvent): void
  /** The current time; in a drill, the drill's. */
  clock(): Date
}

/** What happens in a run, reported as it happens. */
export type RunEvent =
  | { kind: 'item started'; job: Job }
  /** How many bytes the item's progress counts to; `about` for files packed by tar. */
  | { kind: 'total'; bytes: number; about?: boolean }
  | { kind: 'bytes'; bytes: number }
  /** A longer step without bytes to count. */
  | { kind: 'doing'; text: string }
  /** A store is asked again after a temporary error. */
  | ({ kind: 'retry' } & Retry)
  | { kind: 'file done'; item: string; store: string; outcome: FileOutcome }
  | { kind: 'item done'; outcome: ItemOutcome }
  | ({ kind: 'rotated' } & Report['rotated'][number])
  | { kind: 'problem' | 'warning'; text: string }
  | { kind: 'end'; report: Report }

/** One item of a run, with everything needed to back it up. */
export interface JobContext extends RunContext {
  plan: Plan
  job: Job
  /** When the sources are read: the time for names and records. */
  now: Date
  /** The host of the sources. */
  on: Host
  stores: ReadonlyMap<Target, AppendOnlyStore>
  /** What `verify` found broken in a store: no comparison uses these copies. */
  broken: ReturnType<typeof brokenByStore>
  onBytes(bytes: number): void
  /** Throws while a restore of the host is unfinished: a backup would be half of it. */
  notHalfRestored(): Promise<void>
}

/** An item whose sources were surveyed. */
export interface Surveyed {
  store(): Promise<Stored>
  /** The stores whose newest copy differs from the sources. */
  lacking(): Promise<string[]>
  /** Data that exists now and goes into no copy. */
  notSaved?: readonly string[]
}

/** The result for an item. */
export interface Stored {
  stores: Record<string, StoreOutcome>
  warnings: string[]
  /** Those that name data in no copy. */
  notSaved?: string[]
  /** Why the item failed, though everything readable is stored. */
  incomplete?: string
  /** The item does not exist on its host and need not: which sources. */
  absent?: string
  /** It is absent, but earlier runs backed it up. */
  gone?: true
  /** Why no store received anything, though nothing failed. */
  reason?: string
}
