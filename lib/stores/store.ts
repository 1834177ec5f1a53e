import type { Readable } from 'node:stream'
import type { Digests } from './digests.ts'

/** One object or file in a store. `key` is relative to the store's root, with `/` between folders. */
export interface Entry {
  key: string
  bytes: number
  modified: Date
}

/** What a store holds under a key, after reading it back. `sha256` is lower-case hex. */
export interface Receipt {
  key: string
  bytes: number
  sha256: string
}

/** The answer to "can this store be used?". `freeBytes` is absent where space is unlimited. */
export interface Room {
  freeBytes?: number
  /** Only from `look`: the store's folder was never created, so it is empty. */
  absent?: true
  /** A problem that the operator should know about, though the store can be used. */
  warning?: string
}

export interface ListOptions {
  after?: string | undefined
}

/**
 * What every store can do. It has no way to remove or replace: object stores are append-only. `create`
 * commits only when `body` ends. If the body fails, the key stays free. It resolves after the stored content
 * was read back and equals what was sent.
 */
export interface AppendOnlyStore {
  /** For messages: `sfs`, `r2 bucket comfyume-cache-backups`. */
  readonly name: string
  /**
   * Throws a StoreError, within a bounded time, when the store cannot be reached or written to. `folder`:
   * removes dead processes' partials there, then measures free space.
   */
  probe(folder?: string): Promise<Room>
  /** Checks reading only and changes nothing. Throws a StoreError. */
  look(): Promise<Room>
  /** Entries whose key starts with `prefix`, by key, without partials. `after`: only later keys. */
  list(prefix: string, options?: ListOptions): AsyncIterable<Entry>
  /** The content from byte `from`. Remote stores use up to `connections`. Throws NoSuchKey. */
  open(key: string, from?: number, connections?: number): Promise<Readable>
  /** The whole content as it is stored now, bypassing this machine's cache. Throws NoSuchKey. */
  openPastCache(key: string): Promise<Readable>
  /**
   * Throws KeyExists, also when the key is taken during the upload. `digests` are shared with other stores.
   * `expectedBytes` sizes the parts of large archives.
   */
  create(key: string, body: Readable, digests?: Digests, expectedBytes?: number): Promise<Receipt>
}

/** For one long read at a time: fills most lines and takes 32 MiB of memory. */
export const severalConnections = 4

/** Makes the record's text from what was stored. */
export type RecordOf = (receipt: Receipt) => string

/** Only the SFS cache. */
export interface RotatingStore extends AppendOnlyStore {
  /** Replaces the archive `key` and its record. At every moment at most one record fits the archive. */
  replace(key: string, body: Readable, record: RecordOf, digests?: Digests): Promise<Receipt>
  /** The same for a new archive. Throws KeyExists. */
  createPair(key: string, body: Readable, record: RecordOf, digests?: Digests): Promise<Receipt>
  /**
   * Gives `from` the second name `to` with its own record, as a hard link if possible. Reads it first: throws
   * Rotten if its record does not match, KeyExists if `to` is taken.
   */
  link(from: string, to: string, record: string): Promise<void>
  /** Finishes or undoes an interrupted write at `key`. */
  mend(key: string): Promise<void>
  /** Removes one key. A missing key is not an error. */
  remove(key: string): Promise<void>
}

export function rotates(store: AppendOnlyStore): store is RotatingStore {
  return 'replace' in store
}

/** A request to a store failed. The message names the store and says what to do. */
export class StoreError extends Error {
  override name = 'StoreError'
}

/** The key is taken, and its content stays. */
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

/** The stored content is no longer what was written. */
export class Rotten extends StoreError {
  override name = 'Rotten'
  constructor(
    readonly store: string,
    readonly key: string,
  ) {
    super(
      `${store}: ${key} has the size in its record, but other content: the disk or the share corrupted it. No restore uses it; see the kernel log`,
    )
  }
}

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

/** Twice the size of the largest real record, which lists a hundred thousand changed files. */
export const mostSmallBytes = 16 * 2 ** 20

/**
 * The text of a record or report. Returns undefined above mostSmallBytes, so that a huge file in the store
 * cannot fill the reader's memory. Throws NoSuchKey.
 */
export async function smallText(store: AppendOnlyStore, key: string): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  // Leaving the loop closes the file or the connection.
  for await (const chunk of await store.open(key)) {
    bytes += chunk.length
    if (bytes > mostSmallBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
