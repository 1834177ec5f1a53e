import { existsSync } from 'node:fs'
import { type BucketName, type Item, type StoreName, stores } from '../inventory.ts'
import { messageOf } from '../message.ts'
import type { Selected } from '../select.ts'
import { readSettings, type Settings } from '../settings.ts'
import { openStore } from '../stores/open.ts'
import { NotMounted } from '../stores/probe.ts'
import { StoreError } from '../stores/store.ts'
import { type Archive, listArchives, type Shelf } from './archives.ts'
import { unlessStalled } from './stall.ts'

/** One store as it was found at the beginning of a run. */
export interface StoreView {
  name: StoreName
  /** Why it is not read: it is none of this machine's, and nobody asked for it by name. */
  leftOut?: string
  /** Why it, or one of its buckets, cannot be read. */
  failures: string[]
  shelves: Shelf[]
  /** A list an item, each newest first. */
  byItem: Archive[][]
  /** Milliseconds since 1970. */
  listedAt: number
}

/** Looks at a store and lists what lies there of the items; writes nothing. `named`: the operator asked for this very store. */
export async function surveyStore(
  name: StoreName,
  selected: readonly Selected[],
  settings: Settings,
  named: boolean,
): Promise<StoreView> {
  const view: StoreView = { name, failures: [], shelves: [], byItem: [], listedAt: Date.now() }
  const items = selected.filter((one) => one.stores.includes(name)).map(({ item }) => item)
  const absent = items.length === 0 ? 'nothing of what was asked for goes there' : keysMissing(name, settings)
  if (absent !== undefined) return { ...view, leftOut: absent }
  const shelves = shelvesFor(name, items, settings)
  const found = new Map<Item, Archive[]>()
  // The buckets of an object store are asked together: of one that is away, each answer takes minutes.
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
  view.byItem = items.flatMap((item) => (found.has(item) ? [found.get(item) as Archive[]] : []))
  return view
}

function keysMissing(name: StoreName, settings: Settings): string | undefined {
  if (stores[name].kind === 'directory' || settings[name as 'r2' | 'hetzner']) return undefined
  return `${name}: its settings are not set on this machine`
}

/** A folder is one store, whatever lies in it; of an object store each bucket is one. */
function shelvesFor(name: StoreName, items: readonly Item[], settings: Settings): Shelf[] {
  const buckets = [...new Set(items.map(({ bucket }) => bucket as BucketName))]
  if (stores[name].kind === 'object')
    return buckets.map((bucket) => ({ name, bucket, store: openStore(name, bucket, settings) }))
  const store = openStore(name, buckets[0] as BucketName, settings)
  return buckets.map((bucket) => ({ name, bucket, store }))
}

/** A listing that hangs is given up. */
function bounded(shelf: Shelf): Shelf {
  const { store } = shelf
  return { ...shelf, store: { ...store, list: (prefix) => unlessStalled(store.list(prefix), store.name) } }
}

/** The store's folder was never made. */
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
 * Whether a store that could not be read is simply not one of this machine's: Mello has no share and Verda no folder of Mello's. A share that
 * should be mounted, and a mounted one without the cache, are failures: that is how backups were lost before.
 */
function isElsewhere(name: StoreName, error: unknown, { sfs }: Settings): boolean {
  if (error instanceof Absent) return name === 'mello' || !sfs.requireMount
  return error instanceof NotMounted && sfs.root === readSettings({}).sfs.root && !existsSync(sfs.root)
}
