import type { Link } from './chain.ts'
import type { RestoreSource } from './inventory.ts'
import type { ArchiveRecord } from './record.ts'

/** What is known of an offered copy: it has a record, only a stamp, only a name, or is a git repository. */
export type OfferKind = 'recorded' | 'unrecorded' | 'latest' | 'repository'

/** A copy of one item in one source. */
export interface Offer {
  source: RestoreSource
  kind: OfferKind
  /** The archive's key in its source; `HEAD` for a repository. */
  key: string
  /** From the record; else the start of the stamp's period; for `-latest`, when it was last written. */
  time?: Date
  bytes?: number
  /** From the record, or else from the copy's folder. */
  environment: string
  record?: ArchiveRecord
  /** For an increment: the archives to unpack, whole first and this one last. */
  links?: readonly Link[]
  /** Those that its own source has lost and another has. */
  borrowed?: readonly { archive: string; source: RestoreSource }[]
  /** Why it cannot be restored, as its listing found. */
  flaw?: string
}

export interface Wanted {
  /** The order of the sources (facts, "Restore Priority"); others offer nothing. */
  order: readonly RestoreSource[]
  prefer: 'order' | 'newest'
  environment: string
  now: Date
  /** Nothing later than this. */
  at?: Date
  /** Copies of other environments must not serve this item: it is a machine's identity. */
  ownOnly?: boolean
}

export interface Ranked {
  /** What to try, first choice first. */
  candidates: Offer[]
  /** What is not a candidate, and why. `instead`: without its flaw it would come before the first one. */
  passed: { offer: Offer; reason: string; instead?: true }[]
  /** Another source's different content, newer than the first choice or recorded when that is not. */
  newer?: Offer
}

/**
 * Which copies of an item serve it, best first. Each source's best copy comes before any second one, in the
 * order of the sources. Within a source: this environment before production, then recorded by time, by stamp,
 * `-latest`. `newest`: across all sources, first the recorded by time, then the others.
 */
export function rankOffers(offers: readonly Offer[], wanted: Wanted): Ranked {
  const { order } = wanted
  const own = afterLarger(offers.filter(({ source }) => order.includes(source)))
  const judged = own.map((offer) => ({ offer, reason: reasonAgainst(offer, wanted) }))
  const usable = judged.filter(({ reason }) => reason === undefined).map(({ offer }) => offer)
  const sorted = [...usable].sort(better(wanted))
  // A bad copy keeps its turn, so its source falls through to the next one, not to its own second copy.
  const inLine = judged.filter(({ offer, reason }) => reason === undefined || isBadButInTime(offer, wanted))
  const line = inLine.map(({ offer }) => offer).sort(better(wanted))
  const shelves = order.map((source) => line.filter((offer) => offer.source === source))
  const queue = wanted.prefer === 'newest' ? line : inTurns(shelves)
  const candidates = queue.filter((offer) => usable.includes(offer))
  const [first] = candidates
  const instead = first ? queue.slice(0, queue.indexOf(first)) : []
  const passed = judged.flatMap(({ offer, reason }): Ranked['passed'] =>
    reason === undefined ? [] : [{ offer, reason, ...(instead.includes(offer) ? { instead: true } : {}) }],
  )
  const newer = newerThan(first, sorted)
  return { candidates, passed, newer }
}

/** An adopted copy may be incomplete: after an earlier, larger backup it ranks as if without a record. */
function afterLarger(offers: readonly Offer[]): Offer[] {
  const made = offers.filter(({ kind, flaw, record }) => kind === 'recorded' && !flaw && !record?.adopted)
  const isLess = (offer: Offer) =>
    made.some((one) => timeOf(one) <= timeOf(offer) && (one.bytes ?? 0) > (offer.bytes ?? 0))
  return offers.map((offer) =>
    offer.record?.adopted !== undefined && isLess(offer) ? { ...offer, kind: 'unrecorded' } : offer,
  )
}

function reasonAgainst(offer: Offer, { at, now, environment, ownOnly }: Wanted): string | undefined {
  if (offer.flaw !== undefined) return offer.flaw
  if (isFromFuture(offer, now))
    return 'is dated in the future: check the clock of this machine (date -u), which is wrong now or was wrong then'
  if (at !== undefined && offer.time === undefined) return 'has no time, and --at needs one'
  if (at !== undefined && offer.time !== undefined && offer.time > at)
    return `is later than ${at.toISOString()}`
  if (ownOnly && offer.environment !== environment)
    return `is the identity of ${offer.environment}, and this is ${environment}: name the item in --only to take it anyway`
  return undefined
}

/** One that would be taken, except for its flaw. */
function isBadButInTime({ flaw, ...offer }: Offer, wanted: Wanted): boolean {
  return flaw !== undefined && reasonAgainst(offer, wanted) === undefined
}

/** An unrecorded copy's time is the start of its period, and -latest's may be the time of copying. */
export function isFromFuture({ kind, time }: Offer, now: Date): boolean {
  return kind !== 'latest' && time !== undefined && time > now
}

const rank: Record<OfferKind, number> = { recorded: 0, repository: 0, unrecorded: 1, latest: 2 }

/** Orders copies of all sources; among equals the first source's comes first, then the later name. */
function better({ environment, order }: Wanted): (a: Offer, b: Offer) => number {
  const foreign = (offer: Offer) => (offer.environment === environment ? 0 : 1)
  return (a, b) =>
    foreign(a) - foreign(b) ||
    rank[a.kind] - rank[b.kind] ||
    timeOf(b) - timeOf(a) ||
    order.indexOf(a.source) - order.indexOf(b.source) ||
    (a.key === b.key ? 0 : a.key < b.key ? 1 : -1)
}

/** The best of each source, then the second of each, and so on. */
function inTurns(shelves: readonly Offer[][]): Offer[] {
  const longest = Math.max(0, ...shelves.map((shelf) => shelf.length))
  return Array.from({ length: longest }, (_, turn) => shelves.flatMap((shelf) => shelf[turn] ?? [])).flat()
}

/** `sorted`: best first, so the newest comes first. The first choice's own source has none newer. */
function newerThan(first: Offer | undefined, sorted: readonly Offer[]): Offer | undefined {
  if (first === undefined) return undefined
  const newest = sorted.find(
    ({ kind, environment }) => kind === 'recorded' && environment === first.environment,
  )
  if (newest === undefined || holdsTheSame(first, newest)) return undefined
  return timeOf(newest) > timeOf(first) || rank[first.kind] > 0 ? newest : undefined
}

/** One content went to several stores within the hour, and has not changed since. */
function holdsTheSame({ record: one }: Offer, { record: other }: Offer): boolean {
  if (one === undefined || other === undefined) return false
  return (
    one.sha256 === other.sha256 || (one.fingerprint !== undefined && one.fingerprint === other.fingerprint)
  )
}

/** A copy without a time counts as older than all others. */
function timeOf({ time }: Offer): number {
  return time?.getTime() ?? 0
}
