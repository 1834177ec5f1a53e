import type { BucketName, HostName, StoreName } from '../inventory.ts'
import type { Entry } from '../stores/store.ts'

/** Everything that one look brought: what the stores, the models and the repository of the credentials showed of themselves. */
export interface Seen {
  /** The time of the look; in a drill, the drill's. */
  now: Date
  /** BACKUP_NOW is set: the files' own times are of another clock than the records'. */
  drill: boolean
  environment: string
  userDataHost: HostName
  shelves: SeenShelf[]
  /** The live models; undefined where nobody looked. */
  models?: SeenModels
  /** The repository of the credentials; undefined where nobody looked. */
  repository?: SeenRepository
  /** Verda was marked as off on purpose. */
  verdaOff?: { since: Date; answers: boolean }
}

/** A folder that is a store, or one bucket of an object store. */
export interface SeenShelf {
  store: StoreName
  /** Of an object store. */
  bucket?: BucketName
  /** For people: `SFS cache`, `r2 bucket comfyume-cache-backups`. */
  title: string
  /** `remembered`: as it was at `at`. `left out`: nobody wanted to look. */
  state: 'seen' | 'remembered' | 'unseen' | 'left out'
  /** When it looked so. */
  at: Date
  /** Why it could not be seen now. */
  problem?: string
  /** Its machine answers all the same. */
  answers?: boolean
  files: SeenFile[]
  /** The texts of the records and run reports that were read, by key. */
  texts: Record<string, string>
  room?: { freeBytes: number; totalBytes: number }
  /** How far the clock of the machine that holds it is ahead of this one's; negative when behind. */
  clockAheadSeconds?: number
}

export interface SeenFile extends Entry {
  /** Names with the same content share it: hard links of one file. */
  content?: string
}

export interface SeenModels {
  /** `PROD_SFS`, `CLONE_SFS`, or the folder. */
  where: string
  files: { path: string; bytes: number }[]
  problem?: string
}

export interface SeenRepository {
  /** When what is in it was committed. */
  time?: Date
  problem?: string
}
