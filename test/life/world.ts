import { type BucketName, buckets, items, type StoreName } from '../../lib/inventory.ts'
import { readSettings, type Settings } from '../../lib/settings/settings.ts'
import { type AppendOnlyStore, StoreError } from '../../lib/stores/store.ts'
import { type Files, heldFiles } from './files.ts'
import { habits } from './habits.ts'
import { type Ledger, newLedger } from './ledger.ts'
import { type Act, type MemoryOptions, memoryStore, rotatingMemoryStore } from './memory-store.ts'
import { scale } from './token.ts'

/** The whole simulated world at one moment. */
export interface World {
  seed: number
  /** The true time. */
  now: number
  settings: Settings
  ledger: Ledger
  /** The live models by path, in bytes at full size. */
  models: Map<string, { bytes: number; from: number }>
  verda: Machine & {
    /** A restore onto it is running. */
    restoring: boolean
    /** When the operator declared it off on purpose. */
    markedOff?: number
  }
  mello: Machine
  /** The state of the share as Verda sees it. */
  share: 'well' | 'unmounted' | 'read-only' | 'full' | 'hangs'
  r2: 'well' | 'away'
  sfsFiles: Files
  melloFiles: Files
  r2Files: Record<BucketName, Files>
  /** The first broken promise. */
  broken?: Error
}

export interface Machine {
  on: boolean
  /** How many milliseconds its clock is ahead of true time; negative when behind. */
  ahead: number
}

/** A process that uses stores, and may die before any act that changes one. */
export interface Process {
  machine: Machine
  writes: number
  diesAt: number
  died: () => void
}

/** At full size: the share with its models, and Mello's space for copies (80 GB less its own use). */
const shareBytes = 700e9
const melloBytes = 60e9

export function newWorld(seed: number, now: number): World {
  return {
    seed,
    now,
    settings: readSettings({
      MELLO_BACKUPS: '/simulated/backups',
      R2_ACCESS_KEY_ID: 'simulated',
      R2_SECRET_ACCESS_KEY: 'simulated',
    }),
    ledger: newLedger(Object.keys(habits)),
    models: new Map(),
    verda: { on: true, ahead: 0, restoring: false },
    mello: { on: true, ahead: 0 },
    share: 'well',
    r2: 'well',
    sfsFiles: heldFiles(isArchive),
    melloFiles: heldFiles(isArchive),
    r2Files: Object.fromEntries(
      Object.keys(buckets).map((bucket) => [bucket, heldFiles(isContent)]),
    ) as Record<BucketName, Files>,
  }
}

/** Records and reports have their real size; one byte of an archive stands for a million. */
const isArchive = (key: string) => key.endsWith('.tar.gz')
const isContent = (key: string) => !/\.(?:sha256|list\.gz|json)$/.test(key)

/** Starts a process. `diesAt`: acts that change a store before it dies; by default it never does. */
export function startProcess(machine: Machine, diesAt = Number.POSITIVE_INFINITY): Process {
  return { machine, writes: 0, diesAt, died: () => {} }
}

/** A store as a process sees it. */
export function storeIn(
  world: World,
  process: Process,
  name: StoreName,
  bucket: BucketName,
): AppendOnlyStore {
  const options = (files: Files, trouble: (act: Act) => string | undefined): MemoryOptions => ({
    name: name === 'r2' ? `r2 bucket ${buckets[bucket].name}` : name,
    files,
    now: () => new Date(world.now),
    before(act) {
      if (!reading.includes(act) && process.writes++ >= process.diesAt) {
        process.died()
        return new Promise<never>(() => {})
      }
      const problem = trouble(act)
      if (problem !== undefined) throw new StoreError(`${name}: ${problem}`)
      return undefined
    },
  })
  switch (name) {
    case 'sfs':
      return rotatingMemoryStore({
        ...options(world.sfsFiles, (act) => shareTrouble(world, act)),
        freeBytes: () => (world.share === 'full' ? 0 : shareFree(world)),
      })
    case 'mello':
      return memoryStore({
        ...options(world.melloFiles, () => (world.mello.on ? undefined : 'Mello does not answer')),
        freeBytes: () => melloFree(world),
      })
    case 'r2':
      return memoryStore(
        options(world.r2Files[bucket], () => (world.r2 === 'away' ? 'R2 does not answer' : undefined)),
      )
    case 'hetzner':
      throw new Error('this workshop has no Hetzner')
  }
}

/** In bytes of simulated archives. */
export function shareFree({ models, sfsFiles }: World): number {
  const live = [...models.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  return (shareBytes - live) / scale - sfsFiles.bytes()
}

export function melloFree({ melloFiles }: World): number {
  return melloBytes / scale - melloFiles.bytes()
}

export const shareTotal = shareBytes / scale
export const melloTotal = melloBytes / scale

const reading: readonly Act[] = ['probe', 'look', 'list', 'open']

function shareTrouble({ share }: World, act: Act): string | undefined {
  if (share === 'unmounted') return '/mnt/sfs is not a mount point'
  if (share === 'hangs') return '/mnt/sfs did not answer: the share hangs'
  if (share === 'read-only' && (act === 'probe' || !reading.includes(act)))
    return 'it is mounted read-only (EROFS)'
  return undefined
}

/** Items that are archives: not models, not repository content. */
export const archived = items.filter(({ capture: { kind } }) => kind === 'files' || kind === 'image')

/** A broken promise, with how to repeat it. Kept, because runs take errors from a store as store failures. */
export function violation(world: World, what: string): Error {
  world.broken ??= new Error(`seed ${world.seed}, ${new Date(world.now).toISOString()}: ${what}`)
  return world.broken
}
