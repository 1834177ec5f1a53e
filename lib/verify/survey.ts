import { existsSync } from 'node:fs'
import { Readable } from 'node:stream'
import { folderOf } from '../backup/plan.ts'
import type { Selected } from '../backup/select.ts'
import { readHead } from '../capture/list.ts'
import { archiveOfList, listName } from '../chain.ts'
import { within } from '../hosts/process.ts'
import { type BucketName, type Item, items as inventory, type StoreName, stores } from '../inventory.ts'
import { archiveOfRecord, compareStamps, nameOf, readArchiveName, recordName, type Stamp } from '../naming.ts'
import { readRecord } from '../record.ts'
import { readSettings, type Settings } from '../settings/settings.ts'
import { NotMounted } from '../stores/directory/probe.ts'
import { openStore } from '../stores/open.ts'
import { type AppendOnlyStore, type Entry, StoreError, smallText } from '../stores/store.ts'
import { messageOf } from '../text.ts'

/** One store as found at the start of a run. */
export interface StoreView {
  name: StoreName
  /** Why it is skipped: it is not a store of this machine, and no one requested it by name. */
  leftOut?: string
  /** Why it, or one of its buckets, cannot be read. */
  failures: string[]
  shelves: Shelf[]
  /** The items that could be listed. */
  items: string[]
  /** The archives of each item, newest first. */
  byItem: Archive[][]
  /** Milliseconds since 1970. */
  listedAt: number
}

/** Lists a store's archives of the items. Writes nothing. `named`: the store was requested by name. */
export async function surveyStore(
  name: StoreName,
  selected: readonly Selected[],
  settings: Settings,
  named: boolean,
): Promise<StoreView> {
  const view: StoreView = { name, failures: [], shelves: [], items: [], byItem: [], listedAt: Date.now() }
  const items = selected.filter((one) => one.stores.includes(name)).map(({ item }) => item)
  const absent = items.length === 0 ? 'none of the items asked for goes there' : keysMissing(name, settings)
  if (absent !== undefined) return { ...view, leftOut: absent }
  const shelves = shelvesFor(name, items, settings)
  const found = new Map<Item, Archive[]>()
  // List all buckets at once: each takes minutes to fail when the store is unreachable.
  await Promise.all(
    shelves.map(async (shelf) => {
      try {
        const { absent } = await shelf.store.look()
        if (absent) throw new Absent(shelf, settings)
        for (const item of items.filter(({ bucket }) => bucket === shelf.bucket))
          found.set(item, await listArchives(bounded(shelf), item, settings.environment))
        view.shelves.push(shelf)
      } catch (error) {
        if (!named && isElsewhere(name, error, settings)) view.leftOut = messageOf(error)
        else view.failures.push(messageOf(error))
      }
    }),
  )
  view.failures = [...new Set(view.failures)].sort()
  const listed = items.filter((item) => found.has(item))
  view.items = listed.map((item) => item.name)
  view.byItem = listed.map((item) => found.get(item) as Archive[])
  return view
}

function keysMissing(name: StoreName, settings: Settings): string | undefined {
  if (stores[name].kind === 'directory' || settings[name as 'r2' | 'hetzner']) return undefined
  return `${name}: its settings are not set on this machine`
}

/** A folder is one store for all buckets; in an object store each bucket is its own. */
function shelvesFor(name: StoreName, items: readonly Item[], settings: Settings): Shelf[] {
  const buckets = [...new Set(items.map(({ bucket }) => bucket as BucketName))]
  const open = (bucket: BucketName) => openStore(name, bucket, settings)
  const one = stores[name].kind === 'directory' ? open(buckets[0] as BucketName) : undefined
  return buckets.map((bucket) => ({ name, bucket, store: one ?? open(bucket) }))
}

/** Gives up on a listing that hangs. */
function bounded(shelf: Shelf): Shelf {
  const { store } = shelf
  return {
    ...shelf,
    store: { ...store, list: (...asked) => unlessStalled(store.list(...asked), store.name) },
  }
}

/** The store's folder was never created. */
class Absent extends StoreError {
  constructor({ name }: Shelf, settings: Settings) {
    const folder = name === 'sfs' ? settings.sfs.cache : settings.melloBackups
    const setting = name === 'sfs' ? 'SFS_CACHE' : 'MELLO_BACKUPS'
    super(
      `${name}: there is no folder ${folder} here: nothing was ever backed up to it on this machine, or ${setting} names another one`,
    )
  }
}

/**
 * Whether an unreadable store is simply not on this machine: Mello has no share, and Verda no folder of
 * Mello's. A share that should be mounted, or has no cache, is a failure: backups were lost that way.
 */
function isElsewhere(name: StoreName, error: unknown, { sfs }: Settings): boolean {
  if (error instanceof Absent) return name === 'mello' || !sfs.requireMount
  return error instanceof NotMounted && sfs.root === readSettings({}).sfs.root && !existsSync(sfs.root)
}

/** An archive as listed in a store, or the record of one that is gone. */
export interface Archive {
  store: StoreName
  bucket: BucketName
  item: string
  key: string
  /** From its name. Absent for models, which keep their own names, and for the older undated `-latest`. */
  stamp?: Stamp
  /** Both of the archive; absent when only its record exists. */
  bytes?: number
  modified?: Date
  /** Whether a record is next to it. */
  recorded: boolean
  /** A list of everything its item held is next to it: see lib/chain.ts. */
  listed?: true
}

/** A store that may hold an item's archives. */
export interface Shelf {
  name: StoreName
  bucket: BucketName
  store: AppendOnlyStore
}

/** All archives of exactly this item on a shelf, newest first. */
export async function listArchives(shelf: Shelf, item: Item, environment: string): Promise<Archive[]> {
  const found = new Map<string, Archive>()
  for (const prefix of prefixesOf(item, environment))
    for await (const entry of shelf.store.list(prefix)) add(found, shelf, item, environment, entry)
  // A list without archive or record counts for nothing.
  return [...found.values()]
    .filter(({ bytes, recorded }) => bytes !== undefined || recorded)
    .sort(newestFirst)
}

/** The archive as it is now; undefined when it and its record are gone. */
export async function lookAgain(
  shelf: Shelf,
  { item, key }: Archive,
  environment: string,
): Promise<Archive | undefined> {
  const found = new Map<string, Archive>()
  const of = inventory.find(({ name }) => name === item) as Item
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
  const listed = archiveOfList(entry.key)
  const key = of ?? listed ?? entry.key
  const name = readName(item, key.slice(folderOf(item, environment).length))
  if (name === undefined) return
  const archive = found.get(key) ?? { store, bucket, item: item.name, key, ...name, recorded: false }
  found.set(key, archive)
  if (of !== undefined) archive.recorded = true
  else if (listed !== undefined) archive.listed = true
  else Object.assign(archive, { bytes: entry.bytes, modified: entry.modified })
}

/** What a file name says; undefined when it is not this item's. */
function readName({ name, capture }: Item, file: string): { stamp?: Stamp } | undefined {
  if (capture.kind === 'models') return file.endsWith(capture.extension) ? {} : undefined
  const read = readArchiveName(name, file)
  return read && (read.kind === 'dated' ? { stamp: read.stamp } : {})
}

/** Archives without a stamp come last, ordered by modification time. */
function newestFirst(a: Archive, b: Archive): number {
  if (a.stamp && b.stamp) return compareStamps(b.stamp, a.stamp)
  if (a.stamp || b.stamp) return a.stamp ? -1 : 1
  return (b.modified?.getTime() ?? 0) - (a.modified?.getTime() ?? 0)
}

/** Passes `source` on. Throws StoreError when nothing arrives for `seconds`, and then lets go of it. */
export async function* unlessStalled<T>(
  source: AsyncIterable<T>,
  what: string,
  seconds = 600,
): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]()
  let open = true
  try {
    while (true) {
      const next = await within(seconds, iterator.next(), () => hanging(what, seconds))
      if (next.done) break
      yield next.value
    }
    open = false
  } finally {
    // return() would wait for a pending read, so it is not awaited; destroying a stream frees its connection.
    if (open && source instanceof Readable) source.destroy()
    else if (open) void iterator.return?.().catch(() => {})
  }
}

export function hanging(what: string, seconds = 600): StoreError {
  return new StoreError(`${what}: no data for ${seconds} s: it hangs`)
}

/** What an item's newest archive builds on, newest first, by its list. `archives`: newest first. */
export async function linksBehind({ store }: Shelf, archives: readonly Archive[]): Promise<Archive[]> {
  const newest = archives.find(({ recorded, stamp }) => recorded && stamp !== undefined)
  if (newest?.listed === undefined) return []
  const head = await store
    .open(listName(newest.key))
    .then(readHead)
    .catch(() => undefined)
  const names = (head?.links ?? []).map(({ archive }) => archive)
  return names.reverse().flatMap((name) => archives.find(({ key }) => nameOf(key) === name) ?? [])
}

/** What builds on an archive, oldest first, from the records up to the next whole one. */
export async function buildingOn(
  { store }: Shelf,
  archives: readonly Archive[],
  one: Archive,
): Promise<Archive[]> {
  const found: Archive[] = []
  const names = new Set([nameOf(one.key)])
  const later = archives.slice(0, archives.indexOf(archives.find(({ key }) => key === one.key) ?? one))
  for (const archive of later.reverse()) {
    if (!archive.recorded || archive.stamp === undefined) continue
    const record = await smallText(store, recordName(archive.key)).then(
      (text) => readRecord(text ?? ''),
      () => undefined,
    )
    if (record !== undefined && record.increment === undefined) break
    if (!names.has(record?.increment?.base.archive ?? '')) continue
    names.add(nameOf(archive.key))
    found.push(archive)
  }
  return found
}
