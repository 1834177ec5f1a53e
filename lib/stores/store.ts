import type { Readable } from 'node:stream'
import type { Digests } from './digests.ts'

/** One object or file in a store. `key` is relative to the store's root, with `/` between folders. */
export interface Entry {
  key: string
  bytes: number
  modified: Date
}

/** What a store says of content that it holds, after having read it back. `sha256` is lower-case hex. */
export interface Receipt {
  key: string
  bytes: number
  sha256: string
}

/** What a store answers when asked whether it can be used at all. `freeBytes` is absent where room has no bound. */
export interface Room {
  freeBytes?: number
  /** Only of `look`: the store's folder was never made, so nothing lies there. */
  absent?: true
  /** What the operator should know of the store, though it can be used. */
  warning?: string
}

/**
 * What every store can do. There is no way to remove or replace anything here: an object store never gets one.
 *
 * `create` consumes `body` to its end; only a body that *ends* is committed. A body that errors leaves nothing
 * under the key. It resolves after the stored content was read back and found equal to what was sent.
 */
export interface AppendOnlyStore {
  /** For messages: `sfs`, `r2 bucket comfyume-cache-backups`. */
  readonly name: string
  /**
   * Throws a StoreError when the store cannot be reached or written to; answers within a bounded time. `folder`: where is
   * to be written; what dead processes left of unfinished writes in it is removed before its room is told.
   */
  probe(folder?: string): Promise<Room>
  /** The same for reading alone: throws a StoreError when the store cannot be reached or read, and changes nothing there. */
  look(): Promise<Room>
  /** Every entry whose key starts with `prefix`, ordered by key. Partial files of unfinished writes are not entries. */
  list(prefix: string): AsyncIterable<Entry>
  /** The content from byte `from` on, where the store is far away over up to so many connections at once. Throws NoSuchKey. */
  open(key: string, from?: number, connections?: number): Promise<Readable>
  /** The whole content as it rests there now, not as this machine's memory still has it. Throws NoSuchKey. */
  openPastCache(key: string): Promise<Readable>
  /** Throws KeyExists when the key is taken, whether before or while the body was sent. `digests`: where other stores take in the same content meanwhile. */
  create(key: string, body: Readable, digests?: Digests): Promise<Receipt>
}

/** For one long content that nothing else is read beside: enough to fill most lines, and 32 MiB of memory. */
export const severalConnections = 4

/** The text of the record of what was stored. */
export type RecordOf = (receipt: Receipt) => string

/** The SFS cache, and nothing else. */
export interface RotatingStore extends AppendOnlyStore {
  /**
   * Puts new content in the place of the archive `key`, and `record(receipt)` in the place of its record, so that
   * at every moment at most one record fits the archive that is there.
   */
  replace(key: string, body: Readable, record: RecordOf, digests?: Digests): Promise<Receipt>
  /** The same for an archive that is not there yet. Throws KeyExists. */
  createPair(key: string, body: Readable, record: RecordOf, digests?: Digests): Promise<Receipt>
  /**
   * Gives the archive `from` the further name `to`, with a record of its own, sharing the bytes where links work. It is read back first: throws Rotten when it
   * is not what the record says. Throws KeyExists.
   */
  link(from: string, to: string, record: string): Promise<void>
  /** Finishes or undoes what was cut off while a pair was put at `key`. */
  mend(key: string): Promise<void>
  /** Removes one key. A key that is not there is no error. */
  remove(key: string): Promise<void>
}

/** Whether a store is the SFS cache. */
export function rotates(store: AppendOnlyStore): store is RotatingStore {
  return 'replace' in store
}

/** A store, or one request to it, failed. The message names the store and says what to do. */
export class StoreError extends Error {
  override name = 'StoreError'
}

/** The key is taken: somebody else's content is there, and stays. */
export class KeyExists extends StoreError {
  override name = 'KeyExists'
  constructor(
    readonly store: string,
    readonly key: string,
    options?: ErrorOptions,
  ) {
    super(`${store}: ${key} exists already and is never overwritten`, options)
  }
}

/** What lies under the key is no longer what was stored there. */
export class Rotten extends StoreError {
  override name = 'Rotten'
  constructor(
    readonly store: string,
    readonly key: string,
  ) {
    super(
      `${store}: ${key} has the size that its record gives, and other content: the disk or the share lets it rot. Nothing restores from it; see the log of the kernel`,
    )
  }
}

/** The key is not there. */
export class NoSuchKey extends StoreError {
  override name = 'NoSuchKey'
  constructor(
    readonly store: string,
    readonly key: string,
    options?: ErrorOptions,
  ) {
    super(`${store}: there is no ${key}`, options)
  }
}
