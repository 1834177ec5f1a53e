import type { RestoreSource } from './inventory.ts'
import type { ArchiveRecord } from './record.ts'

/** How much is known of a copy that a source offers: has a record, only a stamp, only a name, or is a git repository. */
export type OfferKind = 'recorded' | 'unrecorded' | 'latest' | 'repository'

/** A copy of one item that lies in one source. */
export interface Offer {
  source: RestoreSource
  kind: OfferKind
  /** The archive's, in its source; a repository's is `HEAD`. */
  key: string
  /** The record's time; of an unrecorded copy the start of its stamp's period, of a `-latest` one when it was last written. */
  time?: Date
  bytes?: number
  /** The record's, else that of the folder in which the copy lies. */
  environment: string
  record?: ArchiveRecord
  /** Why nothing can be restored from it, as whoever listed it found out. */
  flaw?: string
}

export interface Wanted {
  /** The order of the sources (facts, "Restore Priority"); those that are not in it offer nothing. */
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
  /** What is to be tried, first choice first. */
  candidates: Offer[]
  /** What is not among the candidates, and why. `instead`: it has a flaw, and without that would be tried before the first of them. */
  passed: { offer: Offer; reason: string; instead?: true }[]
  /** Another source has this, with another content, and newer than the first choice, or recorded where that one is not. */
  newer?: Offer
}

/**
 * Which copies of an item serve it, best first. Of each source its best copy comes before any second one, in the order of the sources:
 * a source whose best copy turns out bad falls through to the next. Within a source, those of this environment come before
 * those of production; then the recorded by the time in their record, then unrecorded ones by their stamp, then `-latest`.
 * `newest` takes the recorded of all sources by their time instead, then the unrecorded, then the `-latest`.
 */
export function rankOffers(offers: readonly Offer[], wanted: Wanted): Ranked {
  const { order } = wanted
  const own = offers.filter(({ source }) => order.includes(source))
  const judged = own.map((offer) => ({ offer, reason: reasonAgainst(offer, wanted) }))
  const usable = judged.filter(({ reason }) => reason === undefined).map(({ offer }) => offer)
  const sorted = [...usable].sort(better(wanted))
  // A copy that is known to be no good has its turn all the same: its source falls through to the next one, and not to its own second copy.
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
  return { candidates, passed, ...(newer ? { newer } : {}) }
}

function reasonAgainst(offer: Offer, { at, now, environment, ownOnly }: Wanted): string | undefined {
  if (offer.flaw !== undefined) return offer.flaw
  if (isFromFuture(offer, now))
    return 'is from the future: see whether the clock of this machine is right (date -u), or was wrong when it was made'
  if (at !== undefined && offer.time === undefined) return 'tells no time, and --at asks for one'
  if (at !== undefined && offer.time !== undefined && offer.time > at)
    return `is later than ${at.toISOString()}`
  if (ownOnly && offer.environment !== environment)
    return `is the identity of ${offer.environment}, and this is ${environment}: name the item in --only to take it all the same`
  return undefined
}

/** One that would have been taken, had it not a flaw. */
function isBadButInTime({ flaw, ...offer }: Offer, wanted: Wanted): boolean {
  return flaw !== undefined && reasonAgainst(offer, wanted) === undefined
}

/** An unrecorded copy's time is the start of its period, and -latest's may be when somebody copied it. */
export function isFromFuture({ kind, time }: Offer, now: Date): boolean {
  return kind !== 'latest' && time !== undefined && time > now
}

const rank: Record<OfferKind, number> = { recorded: 0, repository: 0, unrecorded: 1, latest: 2 }

/** Orders copies, wherever they lie; of equal ones that of the first source, and in it the later name, comes first. */
function better({ environment, order }: Wanted): (a: Offer, b: Offer) => number {
  const foreign = (offer: Offer) => (offer.environment === environment ? 0 : 1)
  return (a, b) =>
    foreign(a) - foreign(b) ||
    rank[a.kind] - rank[b.kind] ||
    timeOf(b) - timeOf(a) ||
    order.indexOf(a.source) - order.indexOf(b.source) ||
    (a.key === b.key ? 0 : a.key < b.key ? 1 : -1)
}

/** The best of each shelf, then the second of each, and so on. */
function inTurns(shelves: readonly Offer[][]): Offer[] {
  const longest = Math.max(0, ...shelves.map((shelf) => shelf.length))
  return Array.from({ length: longest }, (_, turn) => shelves.flatMap((shelf) => shelf[turn] ?? [])).flat()
}

/** `sorted`: best first, so that of one environment and kind the newest comes first; of the first choice's own source there is none newer. */
function newerThan(first: Offer | undefined, sorted: readonly Offer[]): Offer | undefined {
  if (first === undefined) return undefined
  const newest = sorted.find(
    ({ kind, environment }) => kind === 'recorded' && environment === first.environment,
  )
  if (newest === undefined || holdsTheSame(first, newest)) return undefined
  return timeOf(newest) > timeOf(first) || rank[first.kind] > 0 ? newest : undefined
}

/** One content went to several stores within the hour, and nothing has changed since. */
function holdsTheSame({ record: one }: Offer, { record: other }: Offer): boolean {
  if (one === undefined || other === undefined) return false
  return (
    one.sha256 === other.sha256 || (one.fingerprint !== undefined && one.fingerprint === other.fingerprint)
  )
}

/** What tells no time is older than everything that tells one. */
function timeOf({ time }: Offer): number {
  return time?.getTime() ?? 0
}
