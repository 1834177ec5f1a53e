import type { RestoreSource } from '../inventory.ts'
import { isFromFuture, type Offer } from '../restore-order.ts'
import { type Away, reasonsOf } from './away.ts'
import type { PlannedItem } from './plan.ts'
import { restoreSources, type SelectedForRestore } from './request.ts'

/**
 * What the operator has to know before anything else, a line each and the same said of several items once. In the order in which it matters: what cannot
 * come back, and what was not looked at; what comes back older, less surely or from elsewhere than it could.
 */
export function planNotes(
  items: readonly PlannedItem[],
  selected: readonly SelectedForRestore[],
  away: Away,
  { environment, now, everything }: { environment: string; now: Date; everything: boolean },
): string[] {
  const sourcesOf = new Map(selected.map(({ item, sources }) => [item.name, sources]))
  const used = new Set(selected.flatMap(({ sources }) => sources))
  const takes = (item: PlannedItem) => item.candidates[0]
  return [
    ...(everything && isNothing(items) ? [firstDeployment] : []),
    ...grouped('MISSING', items, ({ missing }) => missing),
    ...restoreSources.flatMap((source) =>
      used.has(source)
        ? reasonsOf(away, source).map((why) => `NOT LOOKED AT ${source}: ${why.replace(`${source}: `, '')}`)
        : [],
    ),
    ...grouped('IN THE WAY', items, inTheWay),
    ...grouped('NEWER', items, newerNote),
    ...grouped('PASSED OVER', items, (item) => passedNote(item, sourcesOf.get(item.item) ?? [], now)),
    ...grouped('UNVERIFIED', items, (item) => {
      const first = takes(item)
      return first === undefined || first.record !== undefined || first.kind === 'repository'
        ? undefined
        : `what ${first.source} has is without a record; only that it is whole can be checked`
    }),
    ...grouped('NOT ITS OWN', items, (item) => {
      const first = takes(item)
      return first === undefined || first.environment === environment
        ? undefined
        : `the copy of ${first.environment} is taken, for ${environment} has none`
    }),
  ]
}

const firstDeployment =
  'NO BACKUP of anything was found. If there should be one, see below what was not looked at, and mend that first. If this is the first deployment: ' +
  'git clone "$PROJECT_REPO" into PROJECT_DIR, write its .env, tailscale up --ssh=false, docker compose up -d; then set up the backups (README, "Set up on Verda")'

/** Nothing is there, of any time and in any state. */
function isNothing(items: readonly PlannedItem[]): boolean {
  const archives = items.filter(({ kind }) => kind !== 'repository')
  return (
    archives.length > 0 &&
    archives.every(
      ({ candidates, passed, models = [] }) => candidates.length + passed.length + models.length === 0,
    )
  )
}

/** One line for all items of which the same is to be said. */
function grouped(
  word: string,
  items: readonly PlannedItem[],
  note: (item: PlannedItem) => string | undefined,
): string[] {
  const names = new Map<string, string[]>()
  for (const item of items) {
    const text = note(item)
    if (text !== undefined) names.set(text, [...(names.get(text) ?? []), item.item])
  }
  return [...names].map(([text, of]) => `${word} ${of.join(', ')}: ${text}`)
}

function inTheWay({ models = [] }: PlannedItem): string | undefined {
  const files = models.filter(({ how }) => how === 'in the way').map(({ path }) => path)
  return files.length === 0
    ? undefined
    : `another size is there under the name of ${files.join(', ')}, and is not touched: move it away`
}

function newerNote({ candidates: [first], newer }: PlannedItem): string | undefined {
  if (first === undefined || newer === undefined) return undefined
  const taken = first.kind === 'recorded' ? `the one of ${minute(first)}` : 'one without a record'
  return `${newer.source} has a copy of ${minute(newer)}; ${taken} in ${first.source} is taken. --prefer newest takes the other`
}

/** Copies that are no good, where they would have been taken in the place of the one that is. What is missing says so itself. */
function passedNote(
  { candidates: [first], passed }: PlannedItem,
  order: readonly RestoreSource[],
  now: Date,
): string | undefined {
  if (first === undefined) return undefined
  const place = (source: RestoreSource) => order.indexOf(source)
  const before = ({ source, time }: Offer) =>
    place(source) < place(first.source) ||
    (source === first.source && Number(time ?? 0) >= Number(first.time ?? 0))
  const bad = passed.filter(({ instead }) => instead)
  const future = passed.filter(
    ({ offer }) => offer.flaw === undefined && isFromFuture(offer, now) && before(offer),
  )
  const reasons = [
    ...bad.map(({ offer, reason }) => `${offer.key} in ${offer.source} ${reason}`),
    // A wrong clock makes all of them so: said without names, it is said once.
    ...new Set(future.map(({ offer, reason }) => `a copy in ${offer.source} ${reason}`)),
  ]
  return reasons.length === 0 ? undefined : someOf(reasons)
}

/** A few, and how many there are besides. */
export function someOf(reasons: readonly string[]): string {
  const shown = reasons.slice(0, 3).join('; ')
  return reasons.length > 3 ? `${shown}; and ${reasons.length - 3} more` : shown
}

export function minute({ time }: Offer): string {
  return time === undefined ? 'an unknown time' : `${time.toISOString().slice(0, 16)}Z`
}
