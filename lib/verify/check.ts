import { createHash } from 'node:crypto'
import { messageOf } from '../message.ts'
import { recordName } from '../naming.ts'
import { type ArchiveRecord, readRecord } from '../record.ts'
import { S3Failure } from '../stores/s3-failure.ts'
import { mostSmallBytes } from '../stores/small-text.ts'
import { type AppendOnlyStore, NoSuchKey, rotates } from '../stores/store.ts'
import { type Archive, lookAgain, type Shelf } from './archives.ts'
import type { Budget } from './budget.ts'
import { examine, type Inside } from './examine.ts'
import { unlessStalled } from './stall.ts'

/** What an archive was found to be. `bytes` and `sha256` are those that were read. */
export type Verdict =
  | { status: 'good'; archive: Archive; bytes: number; sha256: string }
  /** Nothing speaks against it, and there is no record to compare it with. `inside` only of archives. */
  | { status: 'unverified'; archive: Archive; bytes: number; sha256: string; inside?: Inside }
  | {
      status: 'broken'
      archive: Archive
      reason: string
      bytes: number
      sha256?: string
      record?: ArchiveRecord
    }
  /** Rotated away, or taken away, since it was listed. */
  | { status: 'gone'; archive: Archive }
  /** Replaced while it was read, and the budget has no second reading of it. */
  | { status: 'unread'; archive: Archive }

export interface CheckOptions {
  environment: string
  budget: Budget
  onBytes(bytes: number): void
  /** What an archive without a record must hold. */
  mustHave: readonly string[]
  /** Resolves as soon as a rotation that was under way when the archives were listed has to be over. */
  settled(): Promise<unknown>
}

/**
 * Reads an archive back and compares it with its record. What a backup or a rotation does meanwhile is no fault of the archive: before it
 * is called broken it is looked at again, and read again if it is another one by now. Throws StoreError when the store can no longer be read.
 */
export async function checkArchive(shelf: Shelf, listed: Archive, options: CheckOptions): Promise<Verdict> {
  for (let archive = listed, attempt = 1; ; attempt++) {
    const beside = await recordsBeside(shelf.store, archive.key)
    const verdict = await judge(shelf, archive, beside, options)
    if (verdict.status !== 'broken' || attempt === 3) return verdict
    // Rotation takes the archive first, then its record.
    if (archive.bytes === undefined && rotates(shelf.store)) await options.settled()
    const now = await lookAgain(shelf, archive, options.environment)
    if (now === undefined || (now.bytes === undefined && archive.bytes !== undefined))
      return { status: 'gone', archive }
    if (isSame(archive, now) && isSameBeside(beside, await recordsBeside(shelf.store, archive.key))) {
      if (verdict.unreadable) await shelf.store.look()
      return verdict
    }
    if (!options.budget.take(now.bytes ?? 0)) return { status: 'unread', archive }
    archive = now
  }
}

function isSame(a: Archive, b: Archive): boolean {
  return a.bytes === b.bytes && a.modified?.getTime() === b.modified?.getTime()
}

/** The texts of the records of an archive, or why they cannot be read. */
interface Beside {
  texts: string[]
  problem?: string
}

/** The record beside an archive; on SFS also the one of a pair that is being put in place, or was cut off at that. */
async function recordsBeside(store: AppendOnlyStore, key: string): Promise<Beside> {
  const names = [recordName(key), ...(rotates(store) ? [`${recordName(key)}.next`] : [])]
  try {
    const texts = await Promise.all(names.map((name) => textOf(store, name)))
    return { texts: texts.filter((text) => text !== undefined) }
  } catch (error) {
    if (isRefusal(error)) throw error
    return { texts: [], problem: `its record cannot be read: ${messageOf(error)}` }
  }
}

function isSameBeside(a: Beside, b: Beside): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** What is refused for one key is refused for all: it is this machine's right that is missing, and no archive's fault. */
function isRefusal(error: unknown): boolean {
  return error instanceof S3Failure && error.status === 403
}

/** Undefined for a key that is not there. */
async function textOf(store: AppendOnlyStore, key: string): Promise<string | undefined> {
  try {
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of unlessStalled(await store.open(key), `${store.name}: ${key}`)) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > mostSmallBytes) break
    }
    return Buffer.concat(chunks).toString()
  } catch (error) {
    if (error instanceof NoSuchKey) return undefined
    throw error
  }
}

/** Compares what lies there now with its records; of two, one has to fit. */
async function judge(
  shelf: Shelf,
  listed: Archive,
  { texts, problem }: Beside,
  options: CheckOptions,
): Promise<Verdict & { unreadable?: true }> {
  const archive = { ...listed, recorded: texts.length > 0 || problem !== undefined }
  const name = archive.key.slice(archive.key.lastIndexOf('/') + 1)
  const read = texts.map(readRecord)
  const records = read.filter((record) => record?.archive === name) as ArchiveRecord[]
  const record = records[0]
  const broken = (reason: string, sha256?: string, bytes = archive.bytes ?? 0) => ({
    status: 'broken' as const,
    archive,
    reason,
    bytes,
    ...(sha256 ? { sha256 } : {}),
    ...(record ? { record } : {}),
  })
  if (archive.bytes === undefined) return broken('is gone, only its record is there')
  if (problem !== undefined) return { ...broken(problem), unreadable: true }
  if (record && records.every(({ bytes }) => bytes !== undefined && bytes !== archive.bytes))
    return broken(sizeProblem(archive.bytes, record.bytes as number))
  try {
    const { bytes, sha256, inside } = await readThrough(shelf, archive, record === undefined, options)
    if (record) {
      if (records.some((one) => one.sha256 === sha256 && (one.bytes ?? bytes) === bytes))
        return { status: 'good', archive, bytes, sha256 }
      if (bytes !== archive.bytes)
        return broken(sizeProblem(bytes, record.bytes ?? archive.bytes), sha256, bytes)
      return broken(
        `has ${record.bytes === undefined ? '' : 'the right size and '}other content than its record: sha256 ${sha256.slice(0, 12)} for ${record.sha256.slice(0, 12)}`,
        sha256,
      )
    }
    if (texts.length > 0) return broken(`${recordProblem(read[0], name)}; ${bytesProblem(inside)}`, sha256)
    if (inside?.gzip !== undefined)
      return broken(`has no record and is no whole gzip file: ${inside.gzip}`, sha256)
    return { status: 'unverified', archive, bytes, sha256, ...(inside ? { inside } : {}) }
  } catch (error) {
    if (isRefusal(error)) throw error
    return { ...broken(`cannot be read: ${messageOf(error)}`), unreadable: true }
  }
}

/** Reads an archive to its end. One that no record speaks for is looked into on the way, unless it is a model. */
async function readThrough(
  { store }: Shelf,
  { key, bytes: expected }: Archive,
  unknown: boolean,
  { mustHave, onBytes }: CheckOptions,
): Promise<{ bytes: number; sha256: string; inside?: Inside }> {
  const hash = createHash('sha256')
  const body = await store.openPastCache(key)
  const inside = unknown && key.endsWith('.tar.gz') ? examine(mustHave) : undefined
  let bytes = 0
  try {
    for await (const chunk of unlessStalled<Buffer>(body, `${store.name}: ${key}`)) {
      hash.update(chunk)
      bytes += chunk.length
      onBytes(chunk.length)
      await inside?.take(chunk)
      // It grows, so it is another one already.
      if (bytes > (expected ?? 0)) break
    }
    return { bytes, sha256: hash.digest('hex'), ...(inside ? { inside: await inside.end() } : {}) }
  } catch (error) {
    inside?.leave()
    throw error
  }
}

function sizeProblem(bytes: number, recorded: number): string {
  return bytes < recorded
    ? `is cut short: ${bytes} of ${recorded} bytes`
    : `is longer than its record says: ${bytes} bytes for ${recorded}`
}

function recordProblem(record: ArchiveRecord | undefined, name: string): string {
  return record === undefined
    ? `its record ${recordName(name)} cannot be read as one`
    : `its record ${recordName(name)} speaks of another archive, ${JSON.stringify(record.archive)}`
}

/** Of an archive whose record is of no use. */
function bytesProblem(inside: Inside | undefined): string {
  if (inside === undefined) return 'the file itself could be read'
  return inside.gzip === undefined
    ? `the archive itself is whole gzip with ${inside.members} members`
    : `the archive itself is no whole gzip file either: ${inside.gzip}`
}
