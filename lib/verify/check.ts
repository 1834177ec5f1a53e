import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { PassThrough, type Writable } from 'node:stream'
import { isDeepStrictEqual } from 'node:util'
import { whyWorthless } from '../acceptance.ts'
import { matcher } from '../capture/capture.ts'
import { boundMemory } from '../capture/compressor.ts'
import { judgeImageArchive } from '../capture/image.ts'
import { listName } from '../chain.ts'
import { errorLines } from '../hosts/lines.ts'
import { bash, start, within } from '../hosts/process.ts'
import { nameOf, recordName } from '../naming.ts'
import { type ArchiveRecord, readRecord } from '../record.ts'
import { S3Failure } from '../stores/s3/failure.ts'
import { type AppendOnlyStore, NoSuchKey, rotates, smallText } from '../stores/store.ts'
import { messageOf, unequalSizes } from '../text.ts'
import type { Budget } from './plan.ts'
import { type Archive, hanging, lookAgain, type Shelf, unlessStalled } from './survey.ts'

/** The result of checking an archive. `bytes` and `sha256` are of what was read. */
export type Verdict =
  | { status: 'good'; archive: Archive; bytes: number; sha256: string }
  /** Nothing is wrong, but there is no record to compare with. Only archives have `inside`. */
  | { status: 'unverified'; archive: Archive; bytes: number; sha256: string; inside?: Inside }
  | {
      status: 'broken'
      archive: Archive
      reason: string
      bytes: number
      sha256?: string
      record?: ArchiveRecord
      /** What it builds on and is missing. */
      lost?: { archive: string; sha256: string }
    }
  /** Rotated or taken away since it was listed. */
  | { status: 'gone'; archive: Archive }
  /** Replaced during the read, and the budget is too small to read it again. */
  | { status: 'unread'; archive: Archive }

export interface CheckOptions {
  environment: string
  budget: Budget
  onBytes(bytes: number): void
  /** What an archive without a record must contain. */
  mustHave: readonly string[]
  /** Whether it must contain a container image. */
  isImage: boolean
  /** Whether an archive of that name is next to it. Absent: all are. */
  isThere?(archive: string): boolean
  /** Resolves when a rotation that was running during the listing must be over. */
  settled(): Promise<unknown>
}

/**
 * Reads an archive back and compares it with its record. Before calling it broken, looks again and reads
 * again if a backup or rotation changed it meanwhile. Throws StoreError when the store is no longer readable.
 */
export async function checkArchive(shelf: Shelf, listed: Archive, options: CheckOptions): Promise<Verdict> {
  for (let archive = listed, attempt = 1; ; attempt++) {
    const beside = await recordsBeside(shelf.store, archive.key)
    const verdict = await judge(shelf, archive, beside, options)
    if (verdict.status !== 'broken' || attempt === 3) return verdict
    // Rotation removes the archive first, then its record.
    if (archive.bytes === undefined && rotates(shelf.store)) await options.settled()
    const now = await lookAgain(shelf, archive, options.environment)
    if (now === undefined || (now.bytes === undefined && archive.bytes !== undefined))
      return { status: 'gone', archive }
    if (isSame(archive, now) && isDeepStrictEqual(beside, await recordsBeside(shelf.store, archive.key))) {
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

/** The record texts of an archive, or why they cannot be read. */
interface Beside {
  texts: string[]
  problem?: string
}

/** The record next to an archive. On SFS also that of a swap in progress or interrupted. */
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

/** A refused key means that this machine lacks the right to read any: no archive is at fault. */
function isRefusal(error: unknown): boolean {
  return error instanceof S3Failure && error.status === 403
}

/** Undefined for a missing key, and no record for a text that is too large for one. */
async function textOf(store: AppendOnlyStore, key: string): Promise<string | undefined> {
  try {
    return (await within(600, smallText(store, key), () => hanging(`${store.name}: ${key}`))) ?? ''
  } catch (error) {
    if (error instanceof NoSuchKey) return undefined
    throw error
  }
}

/** Compares what is there now with its records; if there are two, one must match. */
async function judge(
  shelf: Shelf,
  listed: Archive,
  { texts, problem }: Beside,
  options: CheckOptions,
): Promise<Verdict & { unreadable?: true }> {
  const archive = { ...listed, recorded: texts.length > 0 || problem !== undefined }
  const name = nameOf(archive.key)
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
      if (records.some((one) => one.sha256 === sha256 && (one.bytes ?? bytes) === bytes)) {
        const { increment, list } = record
        if (increment && options.isThere?.(increment.base.archive) === false)
          return {
            ...broken(`builds on ${increment.base.archive}, which is gone`, sha256),
            lost: increment.base,
          }
        const flaw = increment && (await listFlaw(shelf, archive, list))
        return flaw ? broken(flaw, sha256) : { status: 'good', archive, bytes, sha256 }
      }
      if (bytes !== archive.bytes)
        return broken(sizeProblem(bytes, record.bytes ?? archive.bytes), sha256, bytes)
      return broken(
        `has ${record.bytes === undefined ? '' : 'the right size and '}other content than its record says: sha256 ${sha256.slice(0, 12)} for ${record.sha256.slice(0, 12)}`,
        sha256,
      )
    }
    if (texts.length > 0) return broken(`${recordProblem(read[0], name)}; ${bytesProblem(inside)}`, sha256)
    if (inside?.gzip !== undefined)
      return broken(`has no record and is not a complete gzip file: ${inside.gzip}`, sha256)
    return { status: 'unverified', archive, bytes, sha256, ...(inside ? { inside } : {}) }
  } catch (error) {
    if (isRefusal(error)) throw error
    return { ...broken(`cannot be read: ${messageOf(error)}`), unreadable: true }
  }
}

/** What is wrong with an increment's list, without which its state cannot be restored exactly. */
async function listFlaw(
  { store }: Shelf,
  { key }: Archive,
  list: ArchiveRecord['list'],
): Promise<string | undefined> {
  const name = listName(key)
  if (list === undefined) return 'has a record that names no list'
  try {
    const hash = createHash('sha256')
    const body = await store.openPastCache(name)
    for await (const chunk of unlessStalled<Buffer>(body, `${store.name}: ${name}`)) hash.update(chunk)
    return hash.digest('hex') === list.sha256
      ? undefined
      : `its list ${name} is not the one that its record names`
  } catch (error) {
    if (!(error instanceof NoSuchKey)) throw error
    return `its list ${name} is gone`
  }
}

/** Reads an archive to its end. Without a record it is also examined, unless it is a model. */
async function readThrough(
  { store }: Shelf,
  { key, bytes: expected }: Archive,
  unknown: boolean,
  { mustHave, isImage, onBytes }: CheckOptions,
): Promise<{ bytes: number; sha256: string; inside?: Inside }> {
  const hash = createHash('sha256')
  const body = await store.openPastCache(key)
  const isExamined = unknown && key.endsWith('.tar.gz')
  const inside = isExamined ? await examine(mustHave) : undefined
  const image = isExamined && isImage ? judgeOnTheWay() : undefined
  let bytes = 0
  try {
    for await (const chunk of unlessStalled<Buffer>(body, `${store.name}: ${key}`)) {
      hash.update(chunk)
      bytes += chunk.length
      onBytes(chunk.length)
      await inside?.take(chunk)
      await image?.take(chunk)
      // It is growing, so it is already another one.
      if (bytes > (expected ?? 0)) break
    }
    const [found, flaw] = await Promise.all([inside?.end(), image?.end()])
    return { bytes, sha256: hash.digest('hex'), ...(found ? { inside: { ...found, flaw } } : {}) }
  } catch (error) {
    inside?.leave()
    image?.leave()
    throw error
  }
}

function sizeProblem(bytes: number, recorded: number): string {
  return bytes < recorded
    ? `is cut short: ${unequalSizes(bytes, recorded).join(' of ')}`
    : `is longer than its record says: ${unequalSizes(bytes, recorded).join(' for ')}`
}

function recordProblem(record: ArchiveRecord | undefined, name: string): string {
  return record === undefined
    ? `its record ${recordName(name)} is not a readable record`
    : `its record ${recordName(name)} names another archive, ${JSON.stringify(record.archive)}`
}

/** For an archive whose record is unusable. */
function bytesProblem(inside: Inside | undefined): string {
  if (inside === undefined) return 'the file itself could be read'
  return inside.gzip === undefined
    ? `the archive itself is whole gzip with ${inside.members} members`
    : `the archive itself is not a complete gzip file either: ${inside.gzip}`
}

/** What an archive's own bytes show. */
export interface Inside {
  /** Why it is not one complete gzip file. */
  gzip?: string
  /** Why its content is not one complete tar archive. */
  tar?: string
  members: number
  /** Regular files with content. */
  files: number
  /** The required patterns that match no member. */
  missing: string[]
  /** Why what should be a container image is not one. */
  flaw?: string | undefined
}

/** Why a complete gzip file is no backup, judging by its members (law 11). */
export function whyWorthlessInside({ tar, files, missing, flaw }: Inside): string | undefined {
  if (tar !== undefined) return `it is not a complete tar archive: ${tar}`
  return flaw ?? whyWorthless({ files, lacking: missing })
}

/** Reads an archive on the way, and says at its end what it found. */
interface Reader<T> {
  /** Resolves when it can take more. */
  take(chunk: Buffer): Promise<void>
  /** Called after the last byte. */
  end(): Promise<T>
  /** Stops without a result. */
  leave(): void
}

function reader<T>(into: Writable, found: Promise<T>, leave: () => void): Reader<T> {
  return {
    async take(chunk) {
      if (!into.writable || into.write(chunk)) return
      await Promise.race([once(into, 'drain').catch(() => {}), found])
    },
    end() {
      into.end()
      return found
    },
    leave,
  }
}

/** Judges a container image as a capture does. */
function judgeOnTheWay(): Reader<string | undefined> {
  const body = new PassThrough()
  // The stream closes once it cannot be unpacked; the judgement says so.
  body.on('error', () => {})
  const judged = judgeImageArchive(body).then(({ flaw }) => flaw, messageOf)
  return reader(body, judged, () => body.destroy())
}

/** Runs gzip and tar on an archive as it is read. `mustHave`: shell patterns; `*` matches `/` too. */
export async function examine(mustHave: readonly string[]): Promise<Reader<Inside>> {
  const child = await start(bash(examineScript))
  const patterns = new Map(mustHave.map((pattern) => [pattern, matcher(pattern)]))
  let members = 0
  let files = 0
  const lines = errorLines((line) => {
    const [, type = '', size, name = ''] = /^(.)\S* +\S+ +(\S+) +\S+ +\S+ (.*)$/.exec(line) ?? []
    members++
    if (type === '-' && size !== '0') files++
    const member = name.split({ l: ' -> ', h: ' link to ' }[type] ?? '\0')[0]
    for (const [pattern, matches] of patterns) if (matches.test(`/${member}`)) patterns.delete(pattern)
    return true
  })
  child.stdout.on('data', (chunk) => lines.push(chunk)).resume()
  let said = ''
  child.stderr.on('data', (data) => {
    said = (said + data).slice(-10_000)
  })
  child.stderr.resume()
  const found = child.ended.then(() => ({
    ...{ members, files, missing: [...patterns.keys()] },
    ...complaintsIn(said),
  }))
  return reader(child.stdin, found, () => child.kill())
}

/** Reads the script's output: messages of gzip and tar, the bytes after tar's last block, both exit codes. */
function complaintsIn(said: string): { gzip?: string; tar?: string } {
  const lines = said.split('\n').map((line) => line.trim())
  const complaint = (of: string) =>
    lines
      .filter((line) => line.startsWith(`${of}: `))
      .map((line) => line.slice(of.length + 2).replace(/^stdin: /, ''))
      .at(0)
  const [, gzip, tar] = /^codes (\d+) \d+ (\d+)$/m.exec(said) ?? []
  const [, ending] = /^ending (\d+)$/m.exec(said) ?? []
  if (gzip !== '0') return { gzip: complaint('gzip') ?? `gzip ended with ${gzip ?? 'nothing'}` }
  if (tar !== '0') return { tar: complaint('tar') ?? `tar ended with ${tar}` }
  return ending === '0' ? {} : { tar: 'it ends without the two empty blocks that end a tar archive' }
}

/** Archive on stdin, member names on stdout. What tar leaves unread is read to its end, for gzip's sake. */
const examineScript = `
gzip -dc |
  tee >(tail -c 1024 | tr -d '\\0' | wc -c | sed 's/^/ending /' >&2) |
  { (${boundMemory}; exec tar -tv --numeric-owner -f -); code=$?; cat >/dev/null; exit $code; }
echo "codes \${PIPESTATUS[*]}" >&2
`
