import type { RestoreSource } from '../../inventory.ts'
import { isFromFuture, type Offer, type Ranked } from '../../restore-order.ts'
import { firstOf } from '../../text.ts'
import type { NotedCopy, PlanNote } from '../report.ts'
import type { PlannedItem } from './planned.ts'
import { restoreSources, type SelectedForRestore } from './request.ts'
import { reasonsOf, type Unreachable } from './sources.ts'

type Detail = { [K in PlanNote['kind']]: Omit<Extract<PlanNote, { kind: K }>, 'items'> }[PlanNote['kind']]

/**
 * A plan's notes by importance: what cannot come back and what was not checked, then what comes back older,
 * unverified or from elsewhere. Items with the same note share one.
 */
export function planNotes(
  items: readonly PlannedItem[],
  selected: readonly SelectedForRestore[],
  unreachable: Unreachable,
  { environment, now, everything }: { environment: string; now: Date; everything: boolean },
): PlanNote[] {
  const sourcesOf = new Map(selected.map(({ item, sources }) => [item.name, sources]))
  const used = new Set(selected.flatMap(({ sources }) => sources))
  return [
    ...(everything && isNothing(items) ? [{ kind: 'nothing found' } as const] : []),
    ...grouped(items, ({ missing }) => missing && { kind: 'missing', why: missing }),
    ...restoreSources
      .filter((source) => used.has(source))
      .flatMap((source) =>
        reasonsOf(unreachable, source).map((why) => ({ kind: 'not looked at', source, why }) as const),
      ),
    ...grouped(items, ({ models = [] }) => {
      const files = models.filter(({ how }) => how === 'in the way').map(({ path }) => path)
      return files.length > 0 && { kind: 'in the way', files }
    }),
    ...grouped(items, ({ models = [] }) => {
      const broken = models.flatMap(({ instead }) => instead ?? [])
      const why = `${firstOf(broken)} known to be broken: an older content comes back instead`
      return broken.length > 0 && { kind: 'skipped copies', why }
    }),
    ...grouped(
      items,
      ({ candidates: [taken], newer }) =>
        taken && newer && { kind: 'newer', newer: copyOf(newer), taken: copyOf(taken) },
    ),
    ...grouped(items, ({ candidates: [first] }) => {
      const why = first?.borrowed?.map(({ archive, source }) => `${archive} from ${source}`)
      return why && { kind: 'borrowed', source: first?.source as RestoreSource, links: firstOf(why) }
    }),
    ...grouped(items, (item) => {
      const why = whyPassedOver(item, sourcesOf.get(item.item) ?? [], now)
      return why && { kind: 'skipped copies', why }
    }),
    ...grouped(
      items,
      ({ candidates: [first] }) =>
        first &&
        first.record === undefined &&
        first.kind !== 'repository' && { kind: 'unverified', source: first.source },
    ),
    ...grouped(
      items,
      ({ candidates: [first] }) =>
        first &&
        first.environment !== environment && { kind: 'not its own', of: first.environment, environment },
    ),
  ]
}

/** No copy exists, of any time or in any state. */
function isNothing(items: readonly PlannedItem[]): boolean {
  const archives = items.filter(({ kind }) => kind !== 'repository')
  return (
    archives.length > 0 &&
    archives.every(
      ({ candidates, passed, models = [] }) => candidates.length + passed.length + models.length === 0,
    )
  )
}

/** One note for all items that share it. */
function grouped(
  items: readonly PlannedItem[],
  note: (item: PlannedItem) => Detail | undefined | false | '',
): PlanNote[] {
  const notes = new Map<string, PlanNote & { items: string[] }>()
  for (const item of items) {
    const detail = note(item)
    if (!detail) continue
    const same = JSON.stringify(detail)
    const known = notes.get(same) ?? ({ ...detail, items: [] } as unknown as PlanNote & { items: string[] })
    known.items.push(item.item)
    notes.set(same, known)
  }
  return [...notes.values()]
}

/** To the minute, so that copies from one run share a note. */
function copyOf({ source, kind, time }: Offer): NotedCopy {
  const minute = time && new Date(Math.floor(time.getTime() / 60_000) * 60_000)
  return { source, kind, ...(minute ? { time: minute } : {}) }
}

/** Bad copies that would have come before the chosen one. Missing items have their own note. */
function whyPassedOver(
  { candidates: [first], passed }: PlannedItem,
  order: readonly RestoreSource[],
  now: Date,
): string | undefined {
  if (first === undefined) return undefined
  const place = (source: RestoreSource) => order.indexOf(source)
  const before = ({ source, time }: Offer) =>
    place(source) < place(first.source) ||
    (source === first.source && Number(time ?? 0) >= Number(first.time ?? 0))
  const future = passed.filter(
    ({ offer }) => offer.flaw === undefined && isFromFuture(offer, now) && before(offer),
  )
  const reasons = [
    ...reasonsFor(passed.filter(({ instead }) => instead)),
    // A wrong clock affects every copy, so name none: then it is reported once.
    ...new Set(future.map(({ offer, reason }) => `a copy in ${offer.source} ${reason}`)),
  ]
  return firstOf(reasons, 3, '; ') || undefined
}

export function reasonsFor(passed: Ranked['passed']): string[] {
  return passed.map(({ offer, reason }) => `${offer.key} in ${offer.source} ${reason}`)
}
