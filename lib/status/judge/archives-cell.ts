import { warningText, whyNoSuccessor } from '../../acceptance.ts'
import { type Broken, foundAmong, type Verified } from '../../backup/verified.ts'
import { type Copy, isWithin, type KnownCopy, timeOfAdopted } from '../../copies.ts'
import { stores } from '../../inventory.ts'
import { stampTime } from '../../naming.ts'
import { selectCopies } from '../../retention.ts'
import { someOf } from '../../text.ts'
import type { SeenFile, SeenShelf } from '../look/seen.ts'
import { byDay, type Cell, clockToleranceMs, emptyCell, verifiedOf } from './cell.ts'
import { chainOn, knownOn } from './contents.ts'
import { type Expected, graceHours, prefixOf } from './expected.ts'
import { earliest, latest, type Runs, type Success } from './runs.ts'

/** What is wrong with single copies. */
export interface Flaws {
  /** Its size differs from its record's. */
  broken: KnownCopy[]
  /** `verify` read it and found it broken. */
  rotten: { copy: Copy; found: Broken }[]
  /** An increment, and the first lost or broken archive that it builds on. */
  cutOff: { copy: KnownCopy; lost: string }[]
  /** The record cannot be read, or is another archive's. */
  unreadable: Copy[]
  noArchive: Copy[]
  noRecord: Copy[]
  /** The same, if `verify --adopt` refuses to write a record, and why. */
  refused: { copy: Copy; why: string }[]
  /** The same within the last hour: their run may still be reading them back. */
  underWay: Copy[]
  future: Copy[]
  /** The record's time is outside the period in the name. */
  strange: KnownCopy[]
  /** The store took it before the time that it claims. */
  early: Copy[]
  /** A run reported it as stored, but it is missing. */
  gone?: { key: string; time: Date }
}

/** Assesses an item's copies on a shelf that was read. */
export function cellOf(
  expected: Expected,
  shelf: SeenShelf,
  copies: readonly Copy[],
  runs: Runs,
  { verified, drill }: { verified?: Verified; drill: boolean },
): { cell: Cell; flaws: Flaws } {
  const { item, store, bucket, hours, keep } = expected
  const now = shelf.at
  const prefix = prefixOf(expected)
  const since = shelf.since?.prefixes.includes(prefix) ? shelf.since.time : undefined
  const isListed = (key: string) => !since || key >= prefix + since.toISOString().slice(0, 10)
  const limit = new Date(now.getTime() + clockToleranceMs)
  const files = new Map(shelf.files.map((file) => [file.key, file]))
  const flaws: Flaws = {
    broken: [],
    rotten: [],
    cutOff: [],
    unreadable: [],
    noArchive: [],
    noRecord: [],
    refused: [],
    underWay: [],
    future: [],
    strange: [],
    early: [],
  }
  const good: KnownCopy[] = []
  const links = new Map<Copy, number>()
  const isBroken = (copy: Copy) => foundAmong(verified?.broken, bucket, copy) !== undefined
  const times = new Map<Copy, Date>()
  const isObject = stores[store].kind === 'object'
  /** A folder's archives may be links to older ones. In a drill, names and files have times of different clocks. */
  const takenAt = ({ key, recordKey }: Copy) =>
    drill ? undefined : files.get(isObject ? key : (recordKey ?? ''))?.modified
  const madeAt = (copy: KnownCopy) => earliest(copy.time, takenAt(copy))
  for (const copy of copies) {
    const text = copy.recordKey === undefined ? undefined : shelf.texts[copy.recordKey]
    const known = knownOn(shelf, copy)
    times.set(copy, known?.time ?? stampTime(copy.stamp))
    const found = foundAmong(verified?.broken, bucket, copy)
    if (found) {
      flaws.rotten.push({ copy, found })
      continue
    }
    if (copy.bytes === undefined) flaws.noArchive.push(copy)
    else if (copy.recordKey === undefined)
      flaws[isYoung(files.get(copy.key), now) ? 'underWay' : 'noRecord'].push(copy)
    else if (text !== undefined && !known) flaws.unreadable.push(copy)
    else if (known && !known.good) flaws.broken.push(known)
    const claimed = known?.time ?? (isObject ? stampTime(copy.stamp) : undefined)
    const taken = takenAt(copy)
    const isFuture = stampTime(copy.stamp) > limit || (known && known.time > limit)
    if (isFuture) flaws.future.push(copy)
    else if (claimed && taken && claimed.getTime() - taken.getTime() > clockToleranceMs)
      flaws.early.push(copy)
    if (!isFuture && known?.good) {
      const chain = chainOn(shelf, known, copies, isBroken)
      if (chain?.lost !== undefined) {
        flaws.cutOff.push({ copy: known, lost: chain.lost })
        continue
      }
      if (chain) links.set(known, chain.links.length + 1)
      good.push(known)
      if (!isWithin(copy.stamp, known.time)) flaws.strange.push(known)
    }
  }
  const newest = newestOf(good, madeAt)
  for (const copy of flaws.noRecord.splice(0)) {
    const time = timeOfAdopted(copy.stamp, copy.modified as Date, now)
    // Copies from the future are reported as such.
    if (time === undefined) continue
    const before = newestOf(
      good.filter(({ record, time: made }) => !record.adopted && !record.increment && made <= time),
    )
    const why =
      foundAmong(verified?.refused, bucket, copy)?.reason ?? whyNoSuccessor(copy.bytes as number, before)
    if (why === undefined) flaws.noRecord.push(copy)
    else flaws.refused.push({ copy, why })
  }
  const run = runs.lastSuccess(item.name, store, limit)
  const isRotten = ({ key }: Success) => flaws.rotten.some(({ copy }) => copy.key === key)
  // The listing may lack what a run stored meanwhile.
  if (run?.key !== undefined && !files.has(run.key) && isListed(run.key) && run.ended <= now)
    flaws.gone = { key: run.key, time: run.time }
  const proven = newest && run && !isRotten(run) && stands(run, good, copies, shelf) ? run.time : undefined
  const freshAt = latest(newest && madeAt(newest), proven)
  const rotten = flaws.rotten.map(({ copy }) => copy)
  const bad = new Set(
    [
      ...[...flaws.broken, ...rotten, ...flaws.unreadable, ...flaws.future],
      ...flaws.cutOff.map(({ copy }) => copy),
    ].map(({ key }) => key),
  )
  const counted = copies.filter(
    ({ key, bytes, recordKey }) => bytes !== undefined && recordKey !== undefined && !bad.has(key),
  )
  const contents = distinct(counted, files)
  const cell: Cell = {
    ...emptyCell(item, store, 'fresh', now),
    newest: newest && {
      key: newest.key,
      time: madeAt(newest),
      bytes: newest.bytes as number,
      sha256: newest.record.sha256,
    },
    links: newest && links.get(newest),
    freshAt,
    hours,
    graceHours: hours && graceHours(hours),
    warnings: newest && warningsOf(newest),
    verified: verifiedOf(verified, item.name),
    copies: counted.length,
    contents: contents.length,
    bytes: contents.reduce((sum, { bytes }) => sum + bytes, 0),
    since,
    kept:
      keep && !since
        ? selectCopies(counted, (copy) => times.get(copy) as Date, keep, limit).keep.length
        : undefined,
    history: byDay(counted.map((copy) => ({ time: times.get(copy) as Date, bytes: copy.bytes as number }))),
  }
  // An item that every restore needs is never optional.
  cell.state = stateOf(cell, !item.essential && runs.isAbsent(item.name, store, limit))
  return { cell, flaws }
}

function newestOf(
  copies: readonly KnownCopy[],
  timeOf = ({ time }: KnownCopy) => time,
): KnownCopy | undefined {
  return copies.reduce<KnownCopy | undefined>(
    (best, one) => (best && timeOf(best) >= timeOf(one) ? best : one),
    undefined,
  )
}

function warningsOf({ record: { changed = [], warnings = [] } }: KnownCopy): Cell['warnings'] {
  const told = warnings.map(warningText)
  if (changed.length > 0 && !warnings.some(({ kind }) => kind === 'changed'))
    told.push(`${changed.length} changed while they were read: ${someOf(changed, 3)}`)
  return told.length === 0 ? undefined : told
}

function stateOf({ newest, freshAt, graceHours: grace, asOf }: Cell, absent: boolean): Cell['state'] {
  if (!newest || !freshAt) return absent ? 'absent' : 'missing'
  if (grace === undefined) return 'by hand'
  // An item that is gone from its host is not overdue: no newer version exists.
  return absent || asOf.getTime() - freshAt.getTime() <= grace * 3_600_000 ? 'fresh' : 'overdue'
}

/** Whether a copy that a run found or left is still good: an old result proves nothing about it now. */
function stands(
  { key, bytes }: Success,
  good: readonly KnownCopy[],
  copies: readonly Copy[],
  { texts }: SeenShelf,
): boolean {
  if (key === undefined || good.some((copy) => copy.key === key)) return true
  const copy = copies.find((one) => one.key === key)
  const wasRead = copy?.recordKey !== undefined && copy.recordKey in texts
  return copy?.recordKey !== undefined && !wasRead && copy.bytes === bytes
}

function isYoung(file: SeenFile | undefined, now: Date): boolean {
  const age = file ? now.getTime() - file.modified.getTime() : Number.NaN
  return age >= 0 && age < 3_600_000
}

/** Hard links of one file count as one content. */
function distinct(copies: readonly Copy[], files: Map<string, SeenFile>): { bytes: number }[] {
  const contents = new Map(
    copies.map(({ key, bytes }) => [files.get(key)?.content ?? key, { bytes: bytes ?? 0 }]),
  )
  return [...contents.values()]
}
