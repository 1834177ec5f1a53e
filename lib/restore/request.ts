import { type Item, items, type RestoreSource } from '../inventory.ts'
import { readStamp, stampTime, stampUnit } from '../naming.ts'
import { checkNames, namesOf, RequestError } from '../select.ts'
import type { Settings } from '../settings.ts'

/** What an operator asked `restore` for. */
export interface RestoreRequest {
  /** Items or groups by name; absent: all but the models and the images. */
  only?: string[]
  /** Absent: every source that an item has. */
  from?: string[]
  at?: Date
  prefer: 'order' | 'newest'
  withModels: boolean
  withContainers: boolean
  skipSfs: boolean
}

export interface SelectedForRestore {
  item: Item
  /** In the item's order; empty where `from` leaves none. */
  sources: RestoreSource[]
  /** Asked for by its own name. */
  named: boolean
}

/** Where copies can be, in the facts' order. */
export const restoreSources: readonly RestoreSource[] = ['root', 'sfs', 'r2', 'hetzner', 'mello', 'git']

/** The items of a request in the inventory's order. Throws RequestError for names that are not known. */
export function selectForRestore(request: RestoreRequest, settings: Settings): SelectedForRestore[] {
  const { only, from, skipSfs, withModels, withContainers } = request
  checkNames('--only', only, namesOf(items), 'restore brings back')
  checkNames('--from', from, restoreSources, 'copies come from')
  const wanted = ({ name, group, capture: { kind } }: Item): boolean => {
    if (only !== undefined && (only.includes(name) || only.includes(group ?? name))) return true
    if (kind === 'models') return withModels
    if (kind === 'image') return withContainers
    return only === undefined
  }
  const allowed = (source: RestoreSource): boolean =>
    !(skipSfs && source === 'sfs') && (from === undefined || from.includes(source))
  // Stores and repositories that this workshop does not have are no sources at all.
  const has = (source: RestoreSource, item: Item): boolean => {
    if (source === 'hetzner') return settings.hetzner !== undefined
    return source !== 'git' || item.restore.length === 1 || repositoryOf(item, settings) !== undefined
  }
  return items.filter(wanted).map((item) => ({
    item,
    sources: item.restore.filter((source) => allowed(source) && has(source, item)),
    named: only?.includes(item.name) ?? false,
  }))
}

/**
 * The end of the day, hour or minute that a `--at` names as archives are named (`2026-11-24`, `2026-11-24-10`), so that the copy that bears
 * that very stamp is still taken. Throws RequestError for anything else.
 */
export function readAt(text: string): Date {
  const stamp = readStamp(text)
  if (stamp === undefined)
    throw new RequestError(
      `--at takes a day or an hour in UTC, as archives are named: 2026-11-24 or 2026-11-24-10; it was given ${JSON.stringify(text)}`,
    )
  return new Date(stampTime(stamp).getTime() + milliseconds[stampUnit(stamp)] - 1)
}

const milliseconds = { day: 86_400_000, hour: 3_600_000, minute: 60_000 }

/** The git repository from which an item can come. */
export function repositoryOf(item: Item, settings: Settings): string | undefined {
  if (!item.restore.includes('git')) return undefined
  return item.capture.kind === 'repository'
    ? settings.repositories.credentials
    : settings.repositories.scripts
}
