import { isNamed, namesOf } from '../../backup/select.ts'
import { checkNames, FlagError } from '../../cli/flags.ts'
import { type Item, items, type RestoreSource } from '../../inventory.ts'
import { readStamp, stampTime, stampUnit } from '../../naming.ts'
import type { Settings } from '../../settings/settings.ts'

/** What an operator asked `restore` for. */
export interface RestoreRequest {
  /** Items or groups by name. Absent: everything except models and images. */
  only?: string[]
  /** Absent: all of an item's sources. */
  from?: string[]
  /** Single files of the one item in `only`: a shell pattern for paths without a leading slash. */
  path?: string
  at?: Date
  prefer: 'order' | 'newest'
  withModels: boolean
  withContainers: boolean
  skipSfs: boolean
}

export interface SelectedForRestore {
  item: Item
  /** In the item's order; empty when `from` leaves none. */
  sources: RestoreSource[]
  /** Requested by its own name. */
  named: boolean
}

/** Where copies can be, in the order of the specification. */
export const restoreSources: readonly RestoreSource[] = ['root', 'sfs', 'r2', 'hetzner', 'mello', 'git']

/** The requested items in the inventory's order. Throws FlagError for unknown names. */
export function selectForRestore(request: RestoreRequest, settings: Settings): SelectedForRestore[] {
  const { only, from, skipSfs, withModels, withContainers } = request
  checkNames('--only', only, namesOf(items), 'restore brings back')
  checkNames('--from', from, restoreSources, 'copies come from')
  const wanted = (item: Item): boolean => {
    const { kind } = item.capture
    // Single files come from one item, even if its group has the same name.
    const named = request.path === undefined ? item : { ...item, group: undefined }
    if (only !== undefined && isNamed(named, only)) return true
    if (kind === 'models') return withModels
    if (kind === 'image') return withContainers
    return only === undefined
  }
  const allowed = (source: RestoreSource): boolean =>
    !(skipSfs && source === 'sfs') && (from === undefined || from.includes(source))
  // Stores and repositories that are not set up are not sources.
  const has = (source: RestoreSource, item: Item): boolean => {
    if (source === 'hetzner') return settings.hetzner !== undefined
    return source !== 'git' || item.restore.length === 1 || repositoryOf(item, settings) !== undefined
  }
  return items.filter(wanted).map((item) => ({
    item,
    sources: item.restore.filter((source) => allowed(source) && has(source, item)),
    named: isNamed({ ...item, group: undefined }, only ?? []),
  }))
}

/** Single files come from one item's archive. */
export function checkPath(pattern: string | undefined, selected: readonly SelectedForRestore[]): void {
  if (pattern === undefined) return
  const [one, ...others] = selected
  if (one?.item.capture.kind !== 'files' || others.length > 0)
    throw new FlagError(
      '--path takes files out of one item: name it with --only, for instance --only home-dev',
    )
  if (pattern === '' || pattern.startsWith('-') || pattern.split('/').includes('..'))
    throw new FlagError("--path takes a path or pattern below /, for instance 'home/dev/notes/*'")
}

/**
 * The end of the day, hour or minute in `--at`, written as in archive names (`2026-11-24`, `2026-11-24-10`),
 * so that the copy with that stamp is included. Throws FlagError for anything else.
 */
export function readAt(text: string): Date {
  const stamp = readStamp(text)
  if (stamp === undefined)
    throw new FlagError(
      `--at takes a day or an hour in UTC, as archives are named: 2026-11-24 or 2026-11-24-10; it was given ${JSON.stringify(text)}`,
    )
  return new Date(stampTime(stamp).getTime() + milliseconds[stampUnit(stamp)] - 1)
}

const milliseconds = { day: 86_400_000, hour: 3_600_000, minute: 60_000 }

/** The git repository that an item can come from. */
export function repositoryOf(item: Item, settings: Settings): string | undefined {
  if (!item.restore.includes('git')) return undefined
  return item.capture.kind === 'repository'
    ? settings.repositories.credentials
    : settings.repositories.scripts
}
