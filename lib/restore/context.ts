import { access, constants, mkdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { FlagError } from '../cli/flags.ts'
import type { Host } from '../hosts/host.ts'
import type { RestoreSource } from '../inventory.ts'
import type { Settings } from '../settings/settings.ts'
import { latin1, passThrough } from './files/paths.ts'
import type { PlannedItem, RestorePlan } from './plan/planned.ts'
import type { RestoreRequest } from './plan/request.ts'
import type { ArchiveSource, Unreachable } from './plan/sources.ts'
import type { CheckOutcome, ItemOutcome, StepOutcome } from './report.ts'

/** The machine being restored, and what every step needs to know about the run. */
export interface RestoreContext {
  plan: RestorePlan
  request: RestoreRequest
  settings: Settings
  /** Which share was asked for, if any. */
  share?: 'prod' | 'clone'
  /** Files are put below this folder. */
  root: string
  /** Only files come back: no service, package, user, mount or crontab is touched. */
  drill: boolean
  sources: readonly ArchiveSource[]
  unreachable: Unreachable
  /** This machine, with `root` as its root. */
  host: Host
  /** Where overwritten files are kept. */
  aside: string
  /** The result of each item so far. */
  outcomes: Map<string, ItemOutcome>
  watch: RestoreWatcher
}

/** Receives progress while the restore runs. */
export interface RestoreWatcher {
  started(title: string): void
  /** The total number of bytes, if known. */
  total(bytes: number): void
  bytes(bytes: number): void
  /** Something a person should see while the step continues. */
  note(text: string): void
  stepDone(outcome: StepOutcome): void
  checked(outcome: CheckOutcome): void
}

/** A restore step. Safe to repeat: it sees what is done, does the rest, and checks that it holds. */
export interface Step {
  name: string
  /** What it does, for the plan; names every service that it starts or stops. */
  title: string
  /** Its items, whose outcomes it sets. */
  items: readonly string[]
  /** What is already there, in words; undefined when there is something to do. Changes nothing. */
  done(): Promise<string | undefined>
  /** Returns what was done, in words; throws when that failed. */
  do(): Promise<Done>
  /** Throws when the result does not hold. */
  check?(): Promise<void>
}

export interface Done {
  said: string
  /** Whether anything changed. */
  changed: boolean
}

/** The step does not apply here, and why. Not a failure. */
export class Skip extends Error {
  override name = 'Skip'
}

/** Continuing would do harm: the restore stops here, and a person must look. */
export class Halt extends Error {
  override name = 'Halt'
}

/** The plan's entry for an item; undefined when the run does not include it. */
export function plannedItem({ plan }: RestoreContext, name: string): PlannedItem | undefined {
  return plan.items.find(({ item }) => item === name)
}

export function sourceNamed({ sources }: RestoreContext, name: RestoreSource): ArchiveSource {
  const found = sources.find((source) => source.name === name)
  if (found === undefined) throw new Error(`${name} was not opened`)
  return found
}

/** The path on this machine of a path below the root. */
export function below(root: string, file: string): string {
  return root.replace(/\/$/, '') + file
}

/** Makes a folder below the root that only its owner can read. Missing parents get the usual mode. */
export async function makePrivateFolder(folder: string, root: string): Promise<void> {
  await mkdir(root, { recursive: true })
  await using parent = await passThrough(latin1(path.dirname(folder)), latin1(root))
  await mkdir(parent.at(path.basename(folder)), { recursive: true, mode: 0o700 })
  await using _ = await passThrough(latin1(folder), latin1(root))
}

/** Throws unless a drill's folder, or its nearest existing parent, is a folder we can write to. */
export async function checkRoot(root: string): Promise<void> {
  for (let folder = root; ; folder = path.dirname(folder)) {
    const about = await stat(folder).catch((error: NodeJS.ErrnoException) => error.code)
    if (about === 'ENOENT') continue
    const wrong = (why: string) => new FlagError(`--root ${root}: ${folder} ${why}`)
    if (typeof about === 'object' ? !about.isDirectory() : about === 'ENOTDIR') throw wrong('is not a folder')
    if (typeof about !== 'object') throw wrong(`cannot be looked at (${about})`)
    await access(folder, constants.W_OK | constants.X_OK).catch(() => {
      throw wrong('cannot be written to')
    })
    return
  }
}

/** Folder by folder: in some places, such as /proc, a recursive mkdir never ends. */
export async function makeRoot(root: string): Promise<void> {
  if (await stat(root).catch(() => undefined)) return
  await makeRoot(path.dirname(root))
  await mkdir(root).catch((error: NodeJS.ErrnoException) => {
    throw new FlagError(`--root ${root} cannot be created (${error.code})`)
  })
}
