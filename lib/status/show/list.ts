import { folderOf } from '../../backup/plan.ts'
import { isNamed, namesOf } from '../../backup/select.ts'
import { checkNames } from '../../cli/flags.ts'
import { type Item, items, type StoreName } from '../../inventory.ts'
import { archiveOfRecord, readArchiveName } from '../../naming.ts'
import { bytesInWords, inColumns, minuteOf } from '../../text.ts'
import type { Look } from '../look/access.ts'
import { openPlaces } from '../look/place.ts'
import type { SeenFile } from '../look/seen.ts'

/** The content of one bucket or folder. */
export interface Listing {
  title: string
  files: SeenFile[]
}

/**
 * Everything in a store, by bucket: the facts' `aws s3 ls --recursive --human-readable`. `only`: these items.
 * Throws if the store is unreachable.
 */
export async function listStore(
  store: StoreName,
  only: readonly string[] | undefined,
  { settings, vantage }: Pick<Look, 'settings' | 'vantage'>,
): Promise<Listing[]> {
  const chosen = only && itemsOf(only)
  const listings = await Promise.all(
    openPlaces(store, { settings, vantage }).map(async ({ title, folder, list }) => ({
      title: folder === undefined ? title : `${title}, ${folder}`,
      files: (await list()).files,
    })),
  )
  if (!chosen) return listings
  return listings.map(({ title, files }) => ({
    title,
    files: files.filter(({ key }) => chosen.some((item) => belongsTo(item, settings.environment, key))),
  }))
}

/** One line per entry, with a total for each bucket and overall. */
export function listingText(listings: readonly Listing[]): string {
  const total = (files: readonly SeenFile[]) =>
    `${files.length} ${files.length === 1 ? 'entry' : 'entries'}, ${bytesInWords(files.reduce((sum, { bytes }) => sum + bytes, 0))}`
  const parts = listings.map(({ title, files }) =>
    [
      `${title}: ${total(files)}`,
      ...inColumns(
        files.map(({ key, bytes, modified }) => [minuteOf(modified), bytesInWords(bytes), key]),
        '  ',
      ),
    ].join('\n'),
  )
  const all = listings.flatMap(({ files }) => files)
  return [...parts, ...(listings.length > 1 ? [`total: ${total(all)}`] : [])].join('\n\n')
}

/** Throws FlagError for unknown names. */
export function itemsOf(names: readonly string[] | undefined): readonly Item[] {
  if (names === undefined) return items
  checkNames('--only', names, namesOf(items), 'there are')
  return items.filter((item) => isNamed(item, names))
}

function belongsTo(item: Item, environment: string, key: string): boolean {
  const name = archiveOfRecord(key) ?? key
  const folder = folderOf(item, environment)
  if (!name.startsWith(folder)) return false
  const { capture } = item
  const path = name.slice(folder.length)
  if (capture.kind === 'models')
    return path.endsWith(capture.extension) && capture.folders.includes(path.split('/')[0] ?? '')
  return readArchiveName(item.name, path) !== undefined
}
