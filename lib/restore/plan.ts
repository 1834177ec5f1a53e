import type { Item, RestoreSource } from '../inventory.ts'
import { captureOf } from '../plan.ts'
import { type Offer, type Ranked, rankOffers } from '../restore-order.ts'
import type { Settings } from '../settings.ts'
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
  /** Why it is not restored, though that is no failure. */
  leftOut?: string
  /** Why it cannot be restored, which is a failure. */
  missing?: string
}

/** What was found in the sources. */
export interface Findings {
  /** By item. */
  offers: Map<string, Offer[]>
  /** By source: why nothing could be had from it. */
  away: Map<RestoreSource, string>
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
  const items = selected.map((one) => planItem(one, request, findings, settings, now))
  return {
    command: 'restore',
    environment: settings.environment,
    now,
    ...(request.at ? { at: request.at } : {}),
    root,
    items,
    notes: notesOf(items, selected, findings),
  }
}

function planItem(
  { item, sources, named }: SelectedForRestore,
  request: RestoreRequest,
  { offers, away }: Findings,
  settings: Settings,
  now: Date,
): PlannedItem {
  const { environment } = settings
  const planned = { item: item.name, title: item.title, kind: item.capture.kind }
  const none: PlannedItem = { ...planned, candidates: [], passed: [] }
  if (sources.length === 0)
    return { ...none, leftOut: `comes from ${item.restore.join(', ')} alone, which the flags leave out` }
  if (item.capture.kind === 'models') return none
  const onMello = item.host === 'user data' && settings.userDataHost === 'mello'
  if (onMello && request.only === undefined && sources.every((source) => !isSetUp(source, settings)))
    return {
      ...none,
      leftOut: `lies on Mello; its copies are in ${sources.join(', ')}, which is not set up here`,
    }
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
  const why = whyMissing(sources, away, passed)
  return isOptional(item, settings)
    ? { ...ranked, leftOut: `${why}; it is optional` }
    : { ...ranked, missing: why }
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

function whyMissing(
  sources: readonly RestoreSource[],
  away: Findings['away'],
  passed: Ranked['passed'],
): string {
  const looked = sources.filter((source) => !away.has(source))
  const unseen = sources.filter((source) => away.has(source))
  const oldest = passed.map(({ offer }) => offer).sort((a, b) => Number(a.time) - Number(b.time))[0]
  return [
    ...(looked.length > 0 ? [`no usable copy in ${looked.join(', ')}`] : []),
    ...(unseen.length > 0 ? [`not looked at: ${unseen.join(', ')}`] : []),
    ...(oldest?.time
      ? [
          `${passed.length} passed over, the oldest of ${oldest.time.toISOString().slice(0, 16)}Z: ${passed[0]?.reason}`,
        ]
      : []),
  ].join('; ')
}

/** In the order in which they matter: what cannot come back, what is bad, what would come back older than need be, what was not looked at. */
function notesOf(
  items: readonly PlannedItem[],
  selected: readonly SelectedForRestore[],
  { away }: Findings,
): string[] {
  const archives = items.filter(({ kind }) => kind !== 'models' && kind !== 'repository')
  const nothing = archives.length > 0 && archives.every(({ candidates }) => candidates.length === 0)
  const used = new Set(selected.flatMap(({ sources }) => sources))
  return [
    ...(nothing ? [firstDeployment] : []),
    ...items.flatMap(({ item, missing }) => (missing === undefined ? [] : [`MISSING ${item}: ${missing}`])),
    ...items.flatMap((planned) => badNote(planned, selected)),
    ...items.flatMap(({ item, candidates: [first], newer }) =>
      first && newer ? [newerNote(item, first, newer)] : [],
    ),
    ...items.flatMap(({ item, candidates: [first] }) =>
      first && !first.record && first.kind !== 'repository'
        ? [
            `UNVERIFIED ${item}: ${first.key} in ${first.source} has no record; only that it is whole can be checked`,
          ]
        : [],
    ),
    ...[...away].flatMap(([source, why]) => (used.has(source) ? [`NOT LOOKED AT ${source}: ${why}`] : [])),
  ]
}

const firstDeployment =
  'NO BACKUP of anything was found. If there should be one, look at the sources below first. If this is the first deployment: ' +
  'git clone "$PROJECT_REPO" into PROJECT_DIR, write its .env, tailscale up --ssh=false, docker compose up -d; then set up the backups (README, "Set up on Verda")'

/** Copies that would have been taken before the one that is, were they good. */
function badNote(
  { item, candidates: [first], passed }: PlannedItem,
  selected: readonly SelectedForRestore[],
): string[] {
  if (first === undefined) return []
  const sources = selected.find((one) => one.item.name === item)?.sources ?? []
  const bad = passed.filter(({ offer: { flaw, source, time } }) => {
    if (flaw === undefined) return false
    return source === first.source
      ? Number(time) >= Number(first.time)
      : sources.indexOf(source) < sources.indexOf(first.source)
  })
  const [worst] = bad
  if (worst === undefined) return []
  const others = bad.length > 1 ? `, and ${bad.length - 1} more are bad` : ''
  return [
    `BAD ${item}: ${worst.offer.key} in ${worst.offer.source} ${worst.reason}${others}; ${first.key} in ${first.source} is taken`,
  ]
}

function newerNote(item: string, first: Offer, newer: Offer): string {
  const time = (offer: Offer) => `${offer.time?.toISOString().slice(0, 16)}Z`
  const taken = first.kind === 'recorded' ? `of ${time(first)}` : `without a record`
  return `NEWER ${item}: ${newer.source} has one of ${time(newer)}, ${first.source} the one ${taken} that is taken; --prefer newest takes the other`
}
