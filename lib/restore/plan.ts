import type { Item, RestoreSource } from '../inventory.ts'
import { stores } from '../inventory.ts'
import { captureOf } from '../plan.ts'
import { isFromFuture, type Offer, type Ranked, rankOffers } from '../restore-order.ts'
import type { Settings } from '../settings.ts'
import { type Away, awayFrom } from './away.ts'
import type { PlannedModel } from './models.ts'
import { minute, planNotes, someOf } from './plan-notes.ts'
import { type RestoreRequest, repositoryOf, type SelectedForRestore } from './request.ts'

/** What a restore is going to do; `--dry-run` prints it, the run carries it out. */
export interface RestorePlan {
  command: 'restore'
  environment: string
  now: Date
  at?: Date
  /** The folder below which everything is put: `/`, or another one for a drill. */
  root: string
  items: PlannedItem[]
  /** What the operator has to know first: what is missing, what is newer elsewhere, what could not be looked at. */
  notes: string[]
}

/** One item, with the copies that serve it. */
export interface PlannedItem {
  item: string
  title: string
  kind: Item['capture']['kind']
  /** Best first; empty when there is none. Models have none: they are files of their own. */
  candidates: Offer[]
  passed: Ranked['passed']
  newer?: Offer
  /** Of the models: each of them. */
  models?: PlannedModel[]
  /** Why it is not restored, though that is no failure. */
  leftOut?: string
  /** Why it cannot be restored, which is a failure. */
  missing?: string
}

/** What was found in the sources. */
export interface Findings {
  /** By item. */
  offers: Map<string, Offer[]>
  away: Away
  /** Absent where they were not asked for. */
  models?: PlannedModel[]
}

/** The plan of a restore. Pure: the same arguments give the same plan. */
export function makeRestorePlan(
  selected: readonly SelectedForRestore[],
  request: RestoreRequest,
  findings: Findings,
  settings: Settings,
  root: string,
  now: Date,
): RestorePlan {
  const { environment } = settings
  const items = selected.map((one) => planItem(one, request, findings, settings, now))
  return {
    command: 'restore',
    environment,
    now,
    ...(request.at ? { at: request.at } : {}),
    root,
    items,
    notes: planNotes(items, selected, findings.away, {
      environment,
      now,
      everything: !request.only && !request.from,
    }),
  }
}

function planItem(
  { item, sources, named }: SelectedForRestore,
  request: RestoreRequest,
  { offers, away, models = [] }: Findings,
  settings: Settings,
  now: Date,
): PlannedItem {
  const { environment } = settings
  const planned = { item: item.name, title: item.title, kind: item.capture.kind }
  const none: PlannedItem = { ...planned, candidates: [], passed: [] }
  if (sources.length === 0) {
    const why = `comes from ${item.restore.join(', ')} alone, which the flags leave out`
    return named ? { ...none, missing: why } : { ...none, leftOut: why }
  }
  const onMello = item.host === 'user data' && settings.userDataHost === 'mello'
  if (onMello && request.only === undefined && sources.every((source) => !isSetUp(source, settings)))
    return {
      ...none,
      leftOut: `lies on Mello; its copies are in ${sources.join(', ')}, which is not set up here`,
    }
  const missing = (passed: Ranked['passed']) => whyMissing(item, sources, away, passed, request, now)
  if (item.capture.kind === 'models')
    return models.length > 0 ? { ...none, models } : { ...none, missing: missing([]) }
  const { candidates, passed, newer } = rankOffers(offers.get(item.name) ?? [], {
    order: sources,
    prefer: request.prefer,
    environment,
    now,
    ...(request.at ? { at: request.at } : {}),
    ownOnly: item.identity === true && !named,
  })
  const ranked: PlannedItem = { ...planned, candidates, passed, ...(newer ? { newer } : {}) }
  if (candidates.length > 0) return ranked
  const foreign = passed.find(({ offer }) => offer.environment !== environment && !offer.flaw)
  if (item.identity && !named && foreign && environment !== 'production')
    return { ...ranked, leftOut: foreign.reason }
  if (item.capture.kind === 'repository' && repositoryOf(item, settings) === undefined)
    return {
      ...ranked,
      leftOut: 'CREDENTIALS_REPO is not set: there is no private repository to fetch them from',
    }
  if (item.capture.kind === 'repository' && request.at)
    return {
      ...ranked,
      leftOut: 'a repository is taken as it is now, and --at asks for the past: ask for it without --at',
    }
  return isOptional(item, settings) && !named && mayNeverHaveBeen(item, sources, away, passed, now)
    ? { ...ranked, leftOut: `it is optional; ${missing(passed)}` }
    : { ...ranked, missing: missing(passed) }
}

/** Object stores need a key. Verda has none where Mello does what reaches them (README, "Keys"). */
function isSetUp(source: RestoreSource, settings: Settings): boolean {
  return (source !== 'r2' && source !== 'hetzner') || settings[source] !== undefined
}

/** No source of it is required, so that it may never have been there. */
function isOptional(item: Item, settings: Settings): boolean {
  const capture = captureOf(item, settings)
  return capture.kind === 'files' && capture.sources.every(({ required }) => !required)
}

/** A store was looked at and has none. Where none could be looked at, or one has a copy that is no good, it is lost rather than absent. */
function mayNeverHaveBeen(
  item: Item,
  sources: readonly RestoreSource[],
  away: Away,
  passed: Ranked['passed'],
  now: Date,
): boolean {
  return (
    sources.some((source) => source in stores && !isAway(away, source, item)) &&
    !passed.some(({ offer }) => offer.flaw !== undefined || isFromFuture(offer, now))
  )
}

function isAway(away: Away, source: RestoreSource, { bucket }: Item): boolean {
  return bucket !== undefined && awayFrom(away, source, bucket) !== undefined
}

function whyMissing(
  item: Item,
  sources: readonly RestoreSource[],
  away: Away,
  passed: Ranked['passed'],
  { at }: RestoreRequest,
  now: Date,
): string {
  const looked = sources.filter((source) => !isAway(away, source, item))
  const unseen = sources.filter((source) => isAway(away, source, item))
  const bad = passed.filter(({ offer }) => offer.flaw !== undefined || isFromFuture(offer, now))
  const [oldest] = passed
    .filter((one) => !bad.includes(one))
    .map(({ offer }) => offer)
    .sort((a, b) => Number(a.time ?? 0) - Number(b.time ?? 0))
  return [
    ...(looked.length > 0 ? [`no usable copy in ${looked.join(', ')}`] : []),
    ...(unseen.length > 0 ? [`${unseen.join(', ')} not looked at`] : []),
    ...(at && oldest ? [`the oldest is of ${minute(oldest)}, later than --at`] : []),
    ...(bad.length > 0
      ? [someOf(bad.map(({ offer, reason }) => `${offer.key} in ${offer.source} ${reason}`))]
      : []),
  ].join('; ')
}
