import type { Host } from './hosts/host.ts'
import type { BucketName, HostName, StoreName } from './inventory.ts'
import type { Locks } from './locks.ts'
import type { Job } from './plan.ts'
import type { FileOutcome, ItemOutcome, Report } from './report.ts'
import type { Settings } from './settings.ts'
import type { AppendOnlyStore } from './stores/store.ts'

/** What a run needs besides its plan. */
export interface Workplace {
  settings: Settings
  locks: Locks
  host(name: HostName): Host
  store(name: StoreName, bucket: BucketName): AppendOnlyStore
  acceptShrink: boolean
  watch: Watcher
  /** The time now; in a drill, the drill's. */
  clock(): Date
}

/** Told what happens while it happens. */
export interface Watcher {
  itemStarted(job: Job): void
  /** How many bytes there will be in all, where that is known. */
  total(job: Job, bytes: number): void
  bytes(job: Job, bytes: number): void
  fileDone(job: Job, store: string, outcome: FileOutcome): void
  itemDone(outcome: ItemOutcome): void
  rotated(rotated: Report['rotated'][number]): void
  problem(text: string): void
}
