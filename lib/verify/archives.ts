import { type BucketName, type Item, items, type StoreName } from '../inventory.ts'
import { archiveOfRecord, compareStamps, readArchiveName, recordName, type Stamp } from '../naming.ts'
import { folderOf } from '../plan.ts'
import type { AppendOnlyStore, Entry } from '../stores/store.ts'

/** An archive in a store, or the record of one that is gone, as the listing had it. */
export interface Archive {
  store: StoreName
  bucket: BucketName
  item: string
  /** Of the archive. */
  key: string
  /** From its name; absent for a model, which keeps its own name, and for the older undated `-latest`. */
  stamp?: Stamp
  /** Both of the archive; absent when only its record is there. */
  bytes?: number
  modified?: Date
  /** Whether a record lies beside it. */
  recorded: boolean
}

/** Where archives of one item may lie. */
export interface Shelf {
  name: StoreName
  bucket: BucketName
  store: AppendOnlyStore
}

/** Every archive of an item on a shelf, the newest first. What is not exactly this item's is not among them. */
export async function listArchives(shelf: Shelf, item: Item, environment: string): Promise<Archive[]> {
  const found = new Map<string, Archive>()
  for (const prefix of prefixesOf(item, environment))
    for await (const entry of shelf.store.list(prefix)) add(found, shelf, item, environment, entry)
  return [...found.values()].sort(newestFirst)
}

/** The same archive as it is now; undefined when neither it nor its record is there any more. */
export async function lookAgain(
  shelf: Shelf,
  { item, key }: Archive,
  environment: string,
): Promise<Archive | undefined> {
  const found = new Map<string, Archive>()
  const of = items.find(({ name }) => name === item) as Item
  for await (const entry of shelf.store.list(key)) {
    if (entry.key === key || entry.key === recordName(key)) add(found, shelf, of, environment, entry)
  }
  return found.get(key)
}

function prefixesOf(item: Item, environment: string): string[] {
  const folder = folderOf(item, environment)
  if (item.capture.kind === 'models') return item.capture.folders.map((name) => `${folder}${name}/`)
  return [`${folder}${item.name}-`]
}

function add(
  found: Map<string, Archive>,
  { name: store, bucket }: Shelf,
  item: Item,
  environment: string,
  entry: Entry,
): void {
  const of = archiveOfRecord(entry.key)
  const key = of ?? entry.key
  const name = nameOf(item, key.slice(folderOf(item, environment).length))
  if (name === undefined) return
  const archive = found.get(key) ?? { store, bucket, item: item.name, key, ...name, recorded: false }
  found.set(key, archive)
  if (of !== undefined) archive.recorded = true
  else Object.assign(archive, { bytes: entry.bytes, modified: entry.modified })
}

/** What a name says; undefined when it is not one of this item's. */
function nameOf({ name, capture }: Item, file: string): { stamp?: Stamp } | undefined {
  if (capture.kind === 'models') return file.endsWith(capture.extension) ? {} : undefined
  const read = readArchiveName(name, file)
  return read && (read.kind === 'dated' ? { stamp: read.stamp } : {})
}

/** What has no stamp goes by when it was written, behind what has one. */
function newestFirst(a: Archive, b: Archive): number {
  if (a.stamp && b.stamp) return compareStamps(b.stamp, a.stamp)
  if (a.stamp || b.stamp) return a.stamp ? -1 : 1
  return (b.modified?.getTime() ?? 0) - (a.modified?.getTime() ?? 0)
}
