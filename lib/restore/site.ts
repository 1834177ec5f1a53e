import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import type { Host } from '../hosts/host.ts'
import type { RestoreSource } from '../inventory.ts'
import type { Settings } from '../settings.ts'
import type { Away } from './away.ts'
import { latin1, utf8 } from './bytes.ts'
import { passThrough } from './pass-through.ts'
import type { PlannedItem, RestorePlan } from './plan.ts'
import type { CheckOutcome, ItemOutcome, StepOutcome } from './report.ts'
import type { RestoreRequest } from './request.ts'
import type { ArchiveSource } from './sources.ts'

/** The machine that is restored, and what every step needs of the run. */
export interface Site {
  plan: RestorePlan
  request: RestoreRequest
  settings: Settings
  /** Which share was asked for, where one was. */
  share?: 'prod' | 'clone'
  /** Files are put below this folder. */
  root: string
  /** Files alone come back: no service, package, user, mount or crontab is touched. */
  drill: boolean
  sources: readonly ArchiveSource[]
  away: Away
  /** This machine, with `root` as its root. */
  host: Host
  /** Where what is overwritten is kept. */
  aside: string
  /** What came of each item so far. */
  outcomes: Map<string, ItemOutcome>
  watch: RestoreWatcher
}

/** Told what happens while it happens. */
export interface RestoreWatcher {
  started(title: string): void
  /** How many bytes there will be in all, where that is known. */
  total(bytes: number): void
  bytes(bytes: number): void
  /** Something that a person should see while the step goes on. */
  note(text: string): void
  itemDone(outcome: ItemOutcome): void
  stepDone(outcome: StepOutcome): void
  checked(outcome: CheckOutcome): void
}

/** The plan's part about an item; undefined when the run does not deal with it. */
export function plannedItem({ plan }: Site, name: string): PlannedItem | undefined {
  return plan.items.find(({ item }) => item === name)
}

export function sourceNamed({ sources }: Site, name: RestoreSource): ArchiveSource {
  const found = sources.find((source) => source.name === name)
  if (found === undefined) throw new Error(`${name} was not opened`)
  return found
}

/** A path below the root, as this machine has it. */
export function below(root: string, file: string): string {
  return root.replace(/\/$/, '') + file
}

/** Makes a folder below the root that only its owner can read; those above it, where they are not there, as usual. */
export async function makePrivateFolder(folder: string, root: string): Promise<void> {
  await mkdir(root, { recursive: true })
  const parent = utf8(await passThrough(latin1(path.dirname(folder)), latin1(root)))
  await mkdir(path.join(parent, path.basename(folder)), { recursive: true, mode: 0o700 })
  await passThrough(latin1(folder), latin1(root))
}
