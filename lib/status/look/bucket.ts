import { headText } from '../../capture/list.ts'
import { archiveOfList } from '../../chain.ts'
import type { BucketName } from '../../inventory.ts'
import type { Settings } from '../../settings/settings.ts'
import { type ObjectStoreName, openObjectStore } from '../../stores/open.ts'
import { pool } from '../../stores/pool.ts'
import type { S3Store } from '../../stores/s3/store.ts'
import {
  type AppendOnlyStore,
  type ListOptions,
  NoSuchKey,
  StoreError,
  severalConnections,
  smallText,
} from '../../stores/store.ts'
import { linesOf } from './members.ts'
import type { Listing, Place, Recent, SeenFile, SeenShelf } from './seen.ts'
import { bucketBounds } from './wanted.ts'

/** A person is waiting: less patience than a backup has. */
const patience = { connectMs: 5_000, idleMs: 30_000, requestMs: 60_000, attempts: 4, backoffMaxMs: 2_000 }

export function bucketPlace(name: ObjectStoreName, bucket: BucketName, settings: Settings): Place {
  let opened: S3Store | undefined
  const open = () => {
    const prefix = name.toUpperCase()
    if (!settings[name])
      throw new StoreError(
        `${prefix}_ACCESS_KEY_ID and ${prefix}_SECRET_ACCESS_KEY are not set on this machine`,
      )
    opened ??= openObjectStore(name, bucket, settings, { patience })
    return opened
  }
  return {
    store: name,
    bucket,
    title: `${name} bucket ${settings[name]?.buckets[bucket] ?? bucket}`,
    bounds: bucketBounds,
    async list(recent) {
      const store = open()
      const unfinished: SeenShelf['unfinished'] = []
      // A key may list objects but not uploads: then they stay unknown.
      const uploads = async () => {
        for await (const upload of store.unfinished()) unfinished.push(upload)
        return unfinished
      }
      const [begun, listing] = await Promise.all([
        uploads().catch(() => undefined),
        recent ? listRecent(store, recent) : entriesOf(store, '').then((files) => ({ files })),
      ])
      return { ...listing, unfinished: begun }
    },
    under: async (prefix) => entriesOf(open(), prefix),
    async read(keys) {
      const store = open()
      const texts = new Map<string, string>()
      const reading = pool(readAtOnce)
      for (const key of keys)
        await reading.add(async () => {
          const reading = archiveOfList(key) ? store.open(key).then(headText) : smallText(store, key)
          const text = await reading.catch((error) => {
            if (!(error instanceof NoSuchKey)) throw error
          })
          if (text !== undefined) texts.set(key, text)
        })
      await reading.done()
      return texts
    },
    async *members(key, onBytes) {
      yield* linesOf(await open().open(key, 0, severalConnections), onBytes)
    },
    async *open(key) {
      yield* await open().open(key)
    },
  }
}

const readAtOnce = 8

/** The entries in one answer of a bucket. */
const pageEntries = 1000

async function entriesOf(
  store: AppendOnlyStore,
  prefix: string,
  options: ListOptions = {},
): Promise<SeenFile[]> {
  const files: SeenFile[] = []
  for await (const entry of store.list(prefix, options)) files.push(entry)
  return files
}

/** The same, if it fits in one answer. */
async function fewOf(store: AppendOnlyStore, prefix: string): Promise<SeenFile[] | undefined> {
  const files: SeenFile[] = []
  for await (const entry of store.list(prefix)) if (files.push(entry) === pageEntries) return undefined
  return files
}

/** Names sort by time, so a prefix is listed from a day on, unless its folder or bucket is one answer. */
async function listRecent(
  store: AppendOnlyStore,
  { time, prefixes }: Recent,
): Promise<Pick<Listing, 'files' | 'since'>> {
  const everything = await fewOf(store, '')
  if (everything) return { files: everything }
  const day = time.toISOString().slice(0, 10)
  const folderOf = (prefix: string) => prefix.slice(0, prefix.lastIndexOf('/') + 1)
  const parts = await Promise.all(
    [...new Set(prefixes.map(folderOf))].map(async (folder) => {
      const few = folder === '' ? undefined : await fewOf(store, folder)
      if (few) return { files: few, prefixes: [] }
      const own = prefixes.filter((prefix) => folderOf(prefix) === folder)
      const files = await Promise.all(own.map((prefix) => entriesOf(store, prefix, { after: prefix + day })))
      return { files: files.flat(), prefixes: own }
    }),
  )
  const files = parts.flatMap((part) => part.files).sort((a, b) => (a.key < b.key ? -1 : 1))
  return { files, since: { time, prefixes: parts.flatMap((part) => part.prefixes) } }
}
