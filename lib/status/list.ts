import { bytesInWords } from '../cli/words.ts'
import { type Item, items, type StoreName, stores } from '../inventory.ts'
import { archiveOfRecord, readArchiveName } from '../naming.ts'
import { folderOf } from '../plan.ts'
import { inColumns } from '../printable.ts'
import { RequestError } from '../select.ts'
import { openObjectStore } from '../stores/open.ts'
import { minuteOf } from './age.ts'
import { lookAtBucket } from './bucket.ts'
import { lookAtFolder } from './folder.ts'
import { patience } from './look-at-buckets.ts'
import type { SeenFile } from './seen.ts'
import { bucketNames, type Look } from './shelves.ts'

/** What lies in one bucket or folder. */
export interface Listing {
  title: string
  files: SeenFile[]
}

/** Everything in a store, bucket by bucket: the facts' `aws s3 ls --recursive --human-readable`. `only`: of these items alone. Throws where it cannot be reached. */
export async function listStore(
  store: StoreName,
  only: readonly string[] | undefined,
  { settings, vantage }: Pick<Look, 'settings' | 'vantage'>,
): Promise<Listing[]> {
  const chosen = only && itemsOf(only)
  const listings = await openListings(store, { settings, vantage })
  if (!chosen) return listings
  return listings.map(({ title, files }) => ({
    title,
    files: files.filter(({ key }) => chosen.some((item) => belongsTo(item, settings.environment, key))),
  }))
}

/** One line an entry, with a total for each bucket and for all. */
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

function itemsOf(names: readonly string[]): Item[] {
  const known = new Set(items.flatMap((item) => [item.name, ...(item.group ? [item.group] : [])]))
  const unknown = names.filter((name) => !known.has(name))
  if (unknown.length > 0 || names.length === 0)
    throw new RequestError(
      `--only: ${unknown.join(', ') || 'nothing'}: not known here; there are ${[...known].join(', ')}`,
    )
  return items.filter(
    ({ name, group }) => names.includes(name) || (group !== undefined && names.includes(group)),
  )
}

async function openListings(
  store: StoreName,
  { settings, vantage }: Pick<Look, 'settings' | 'vantage'>,
): Promise<Listing[]> {
  if (store === 'r2' || store === 'hetzner') {
    return Promise.all(
      bucketNames.map(async (bucket) => {
        const files = await lookAtBucket(openObjectStore(store, bucket, settings, patience))
        return { title: `${store} bucket ${settings[store]?.buckets[bucket]}`, files }
      }),
    )
  }
  const { root, cache, requireMount } = settings.sfs
  const folder = store === 'sfs' ? cache : settings.melloBackups
  const host = store === 'sfs' ? vantage.verda : vantage.mello
  const mount = store === 'sfs' && requireMount ? { mount: root } : {}
  const { files } = await lookAtFolder(host, { folder, ...mount })
  return [{ title: `${stores[store].title}, ${folder}`, files }]
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
