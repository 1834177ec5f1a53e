import type { BucketName, HostName, StoreName } from '../../inventory.ts'
import type { Entry } from '../../stores/store.ts'

/** Everything that one look saw: the stores, the models and the credentials' repository. */
export interface Seen {
  /** The time of the look; in a drill, the drill's. */
  now: Date
  /** BACKUP_NOW is set: file times and record times come from different clocks. */
  drill: boolean
  environment: string
  userDataHost: HostName
  shelves: SeenShelf[]
  /** Run reports that show how the calendar's days ended; absent if no calendar is needed. */
  dailyReports?: { from: StoreName; text: string }[]
  /** The live models; undefined if not looked at. */
  models?: SeenModels
  /** The credentials' repository; undefined without an address. */
  repository?: SeenRepository
  /** The repository was left out on purpose. */
  withoutRepository?: true
  /** Verda was marked as off on purpose. */
  verdaOff?: { since: Date; answers: boolean }
}

/** A store's folder, or one bucket of an object store. */
export interface SeenShelf {
  store: StoreName
  /** For an object store. */
  bucket?: BucketName
  /** For people: `SFS cache`, `r2 bucket comfyume-cache-backups`. */
  title: string
  /** `remembered`: as it was at `at`. `left out`: on purpose. */
  state: 'seen' | 'remembered' | 'unseen' | 'left out'
  /** The time of this state. */
  at: Date
  /** Why it could not be seen now. */
  problem?: string
  /** Its machine answers nevertheless. */
  answers?: boolean
  files: SeenFile[]
  /** The records and run reports that were read, by key. */
  texts: Record<string, string>
  room?: { freeBytes: number; totalBytes: number }
  /** What is mounted there, such as the NFS `host:/path`. */
  source?: string
  /** Unfinished uploads to a bucket; absent if the server does not list them. */
  unfinished?: { key: string; bytes: number; begun: Date }[]
  /** Names with earlier times were not listed under these prefixes; unexpected files were not looked for. */
  since?: { time: Date; prefixes: string[] }
  /** How many seconds the clock of its machine is ahead of this one's; negative when behind. */
  clockAheadSeconds?: number
}

export interface SeenFile extends Entry {
  /** Names with the same content share it: hard links of one file. */
  content?: string
  /** This machine read it back in its current state, and it was good. */
  proven?: true
}

export interface SeenModels {
  /** `PROD_SFS`, `CLONE_SFS`, or the folder. */
  where: string
  files: { path: string; bytes: number }[]
  problem?: string
  /** Those that no backup can take, and those that may still be downloading: what is wrong with each. */
  failures?: string[]
  warnings?: string[]
}

export interface SeenRepository {
  /** When its content was committed. */
  time?: Date
  problem?: string
  /** Files on Mello that differ from it; absent if not comparable, for the reason in `uncompared`. */
  changed?: string[]
  uncompared?: string
}

/** A place to list and read: a folder on this machine or behind ssh, or one bucket. Read-only. */
export interface Place {
  store: StoreName
  bucket?: BucketName
  /** For people: `SFS cache`, `r2 bucket comfyume-cache-backups`. */
  title: string
  /** A folder's path on its host. */
  folder?: string
  /** How much of it is read. */
  bounds: Bounds
  /** Throws if it is unreachable or missing. `recent`: what to list of a bucket with more than one answer. */
  list(recent?: Recent): Promise<Listing>
  /** For a bucket: everything with this prefix. */
  under?(prefix: string): Promise<SeenFile[]>
  /** The texts of small files; skips those deleted meanwhile. */
  read(keys: readonly string[]): Promise<Map<string, string>>
  /** What `listMembers` prints for an archive; by ssh, only these lines. `onBytes`: counts remote bytes. */
  members(key: string, onBytes: (bytes: number) => void): AsyncIterable<Buffer>
  /** A file's bytes. Throws on the first read if there is none. */
  open(key: string): AsyncIterable<Buffer>
}

export type Listing = Pick<
  SeenShelf,
  'files' | 'room' | 'clockAheadSeconds' | 'source' | 'unfinished' | 'since'
>

/** How much is read of a store. A folder returns its small files at once, a bucket one per request. */
export interface Bounds {
  /** Records of an item, newest first. */
  records: number
  /** The same while none of them is of a good copy. */
  recordsInTrouble: number
  models: number
  /** A command's run reports at a time, and in total. */
  reportsAtOnce: number
  reports: number
}

/** What is listed of a bucket with a long history: names from this time on, under each of these prefixes. */
export interface Recent {
  time: Date
  prefixes: string[]
}
