import { captureOf } from '../../backup/plan.ts'
import { type Item, type RestoreSource, stores } from '../../inventory.ts'
import { isFromFuture, type Offer, type Ranked, rankOffers } from '../../restore-order.ts'
import type { Settings } from '../../settings/settings.ts'
import { firstOf } from '../../text.ts'
import { planNotes, reasonsFor } from './notes.ts'
import type { PlannedItem, PlannedModel, RestorePlan } from './planned.ts'
import { type RestoreRequest, repositoryOf, type SelectedForRestore } from './request.ts'
import { isUnreachable, type Unreachable } from './sources.ts'

/** What was found in the sources. */
export interface Findings {
  /** By item. */
  offers: Map<string, Offer[]>
  unreachable: Unreachable
  /** Absent when models were not requested. */
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
    notes: planNotes(items, selected, findings.unreachable, {
      environment,
      now,
      everything: !request.only && !request.from,
    }),
  }
}

function planItem(
  { item, sources, named }: SelectedForRestore,
  request: RestoreRequest,
  { offers, unreachable, models = [] }: Findings,
  settings: Settings,
  now: Date,
): PlannedItem {
  const { environment } = settings
  const planned = { item: item.name, title: item.title, kind: item.capture.kind }
  const none: PlannedItem = { ...planned, candidates: [], passed: [] }
  if (sources.length === 0) {
    const why = `comes only from ${item.restore.join(', ')}, which the flags leave out`
    return named ? { ...none, missing: why } : { ...none, leftOut: why }
  }
  const onMello = item.host === 'user data' && settings.userDataHost === 'mello'
  if (onMello && request.only === undefined && sources.every((source) => !isSetUp(source, settings)))
    return {
      ...none,
      leftOut: `is on Mello; its copies are in ${sources.join(', ')}, which is not set up here`,
    }
  const missing = (passed: Ranked['passed']) => whyMissing(item, sources, unreachable, passed, request, now)
  if (item.capture.kind === 'models')
    return models.length > 0 ? { ...none, models } : { ...none, missing: missing([]) }
  const { candidates, passed, newer } = rankOffers(offers.get(item.name) ?? [], {
    order: sources,
    prefer: request.prefer,
    environment,
    now,
    at: request.at,
    ownOnly: item.identity === true && !named,
  })
  const ranked: PlannedItem = { ...planned, candidates, passed, newer }
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
      leftOut: 'a repository only has its current state: to get that, restore it without --at',
    }
  return isOptional(item, settings) && !named && mayNeverHaveBeen(item, sources, unreachable, passed, now)
    ? { ...ranked, leftOut: `it is optional; ${missing(passed)}` }
    : { ...ranked, missing: missing(passed) }
}

/** Object stores need a key. Verda has none if Mello accesses them (docs/setup.md, "Keys"). */
function isSetUp(source: RestoreSource, settings: Settings): boolean {
  return (source !== 'r2' && source !== 'hetzner') || settings[source] !== undefined
}

/** None of its sources is required, so it may never have existed. */
function isOptional(item: Item, settings: Settings): boolean {
  const capture = captureOf(item, settings)
  return capture.kind === 'files' && capture.sources.every(({ required }) => !required)
}

/** Every store that could be read has none. If none could be read, or a copy is bad, the item is lost. */
function mayNeverHaveBeen(
  item: Item,
  sources: readonly RestoreSource[],
  unreachable: Unreachable,
  passed: Ranked['passed'],
  now: Date,
): boolean {
  return (
    sources.some((source) => source in stores && !cannotReach(unreachable, source, item)) &&
    !passed.some(({ offer }) => offer.flaw !== undefined || isFromFuture(offer, now))
  )
}

function cannotReach(unreachable: Unreachable, source: RestoreSource, { bucket }: Item): boolean {
  return bucket !== undefined && isUnreachable(unreachable, source, bucket)
}

function whyMissing(
  item: Item,
  sources: readonly RestoreSource[],
  unreachable: Unreachable,
  passed: Ranked['passed'],
  { at }: RestoreRequest,
  now: Date,
): string {
  const looked = sources.filter((source) => !cannotReach(unreachable, source, item))
  const unseen = sources.filter((source) => cannotReach(unreachable, source, item))
  const bad = passed.filter(({ offer }) => offer.flaw !== undefined || isFromFuture(offer, now))
  const [oldest] = passed
    .filter((one) => !bad.includes(one))
    .map(({ offer }) => offer)
    .sort((a, b) => Number(a.time ?? 0) - Number(b.time ?? 0))
  return [
    ...(looked.length > 0 ? [`no usable copy in ${looked.join(', ')}`] : []),
    ...(unseen.length > 0 ? [`${unseen.join(', ')} not looked at`] : []),
    ...(at && oldest ? [`the oldest is from ${minute(oldest)}, later than --at`] : []),
    ...(bad.length > 0 ? [firstOf(reasonsFor(bad), 3, '; ')] : []),
  ].join('; ')
}

function minute({ time }: Offer): string {
  return time === undefined ? 'an unknown time' : `${time.toISOString().slice(0, 16)}Z`
}
