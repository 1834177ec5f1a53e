import type { ArchiveRecord, Increment } from './record.ts'

/**
 * Chains: where nothing rotates, large items are stored whole at intervals, with increments between them
 * (docs/decisions/0013). An increment is written as archive, list of all files, then record with a second
 * digest line for its base. Until then incrementComment and its small size identify it. Pure.
 */
export interface Link {
  /** The archive's name, without folder. */
  archive: string
  sha256: string
  bytes: number
}

const ARCHIVE = '.tar.gz'

/** The name or key of an archive's list. No reader takes it for an archive or a record. */
export function listName(archive: string): string {
  return `${archive.slice(0, -ARCHIVE.length)}.list.gz`
}

/** The archive (or key) that a list belongs to; undefined for any other name. */
export function archiveOfList(file: string): string | undefined {
  return /[^/]\.list\.gz$/.test(file) ? `${file.slice(0, -'.list.gz'.length)}${ARCHIVE}` : undefined
}

/** The `comment` in the pax global header at the start of an increment's archive. */
export const incrementComment = 'comfyume-backup increment: unpack the archives before it first'

/** One known archive of a chain; the record is undefined if it has none that is readable. */
export type Known = {
  record?: ArchiveRecord | undefined
  bytes?: number | undefined
  broken?: string | undefined
}

/** The archives to unpack for one copy, whole first; or the first bad one, from the end. */
export type Chain =
  | { links: ArchiveRecord[] }
  | {
      links?: undefined
      lost: { archive: string; sha256: string }
      why: 'no record' | 'no archive' | 'other archive' | 'broken'
    }

/**
 * Follows a record back to the whole archive. `known`: the archives in its store, by name. Each base must
 * exist with its recorded size, and its record must have the digest that the next one names.
 */
export function chainOf(record: ArchiveRecord, known: (archive: string) => Known | undefined): Chain {
  const links: ArchiveRecord[] = []
  let wanted: ArchiveRecord | undefined = record
  for (;;) {
    const { archive, sha256, increment }: ArchiveRecord = wanted
    const there = known(archive)
    if (there?.bytes === undefined) return { lost: { archive, sha256 }, why: 'no archive' }
    if (there.record === undefined) return { lost: { archive, sha256 }, why: 'no record' }
    if (there.record.sha256 !== sha256 || (wanted.bytes ?? there.bytes) !== there.bytes)
      return { lost: { archive, sha256 }, why: 'other archive' }
    if (there.broken !== undefined) return { lost: { archive, sha256 }, why: 'broken' }
    links.unshift(wanted)
    if (increment === undefined) return { links }
    const { base, link }: Increment = increment
    const below: ArchiveRecord | undefined = known(base.archive)?.record
    if (below === undefined) {
      const isThere = known(base.archive)?.bytes !== undefined
      return { lost: base, why: isThere ? 'no record' : 'no archive' }
    }
    // Numbers must fall with each step, so a forged record cannot form a loop.
    if (below.sha256 !== base.sha256 || (below.increment?.link ?? 0) !== link - 1)
      return { lost: base, why: 'other archive' }
    wanted = below
  }
}

/** When a chain must start over. */
export const bounds = { days: 7, links: 200 }

/**
 * Why the next archive must be whole although all `links` (whole first) exist; undefined if it may build on
 * the last one. `begun`: the time of the whole one.
 */
export function whyWhole(links: readonly Link[], begun: Date, now: Date): string | undefined {
  const [whole, ...increments] = links
  if (whole === undefined) return 'it is the first'
  if (Math.abs(now.getTime() - begun.getTime()) >= bounds.days * 24 * 3600 * 1000)
    return `the last whole one is ${bounds.days} days old`
  if (increments.length >= bounds.links) return `${increments.length} increments are enough for a restore`
  const grown = increments.reduce((sum, { bytes }) => sum + bytes, 0)
  return grown >= whole.bytes ? 'the increments together are as large as the whole one' : undefined
}
