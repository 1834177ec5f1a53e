import { type BucketName, type StoreName, stores } from '../inventory.ts'
import { messageOf } from '../message.ts'
import { type ObjectStoreName, openObjectStore } from '../stores/open.ts'
import type { S3Store } from '../stores/s3.ts'
import { lookAtBucket, readObjects } from './bucket.ts'
import { contentsOf } from './contents.ts'
import type { Expected } from './expected.ts'
import type { SeenShelf } from './seen.ts'
import { blankShelf, bucketNames, type Look, storesOf } from './shelves.ts'
import { bucketBounds, wantedTexts } from './wanted.ts'

/** A bucket that was looked at, open for more. */
export interface Looked {
  shelf: SeenShelf
  store?: S3Store
}

/** Every bucket of every object store, each by itself: one listing, and a few of its small objects. */
export async function lookAtObjects(options: Look, expected: readonly Expected[]): Promise<Looked[]> {
  const names = storesOf(options.settings).filter(
    (name) => stores[name].kind === 'object',
  ) as ObjectStoreName[]
  return Promise.all(
    names.flatMap((name) => bucketNames.map((bucket) => lookAt(name, bucket, options, expected))),
  )
}

/** Reads further records; what cannot be read stays unknown. */
export async function readMore({ shelf, store }: Looked, keys: readonly string[]): Promise<void> {
  const texts = store ? await readObjects(store, keys).catch(() => new Map<string, string>()) : new Map()
  for (const [key, text] of texts) shelf.texts[key] = text
}

/** Somebody waits for the answer: less patience than a backup has. */
export const patience = {
  connectMs: 5_000,
  idleMs: 30_000,
  requestMs: 60_000,
  attempts: 4,
  backoffMaxMs: 2_000,
}

async function lookAt(
  name: ObjectStoreName,
  bucket: BucketName,
  { settings, wanted, now }: Look,
  expected: readonly Expected[],
): Promise<Looked> {
  const access = settings[name]
  const title = `${name} bucket ${access?.buckets[bucket] ?? bucket}`
  const blank = (problem?: string) => ({ shelf: blankShelf(name as StoreName, title, now, problem, bucket) })
  if (!wanted.has(name)) return blank()
  if (!access)
    return blank(
      `${name.toUpperCase()}_ACCESS_KEY_ID and ${name.toUpperCase()}_SECRET_ACCESS_KEY are not set on this machine`,
    )
  const store = openObjectStore(name, bucket, settings, patience)
  const shelf: SeenShelf = { store: name, bucket, title, state: 'seen', at: now, files: [], texts: {} }
  try {
    shelf.files = await lookAtBucket(store)
    const contents = contentsOf(shelf, expected, settings.environment)
    for (;;) {
      const keys = wantedTexts(contents, expected, shelf.texts, bucketBounds)
      if (keys.length === 0) return { shelf, store }
      const texts = await readObjects(store, keys)
      for (const key of keys) shelf.texts[key] = texts.get(key) ?? ''
    }
  } catch (error) {
    return blank(messageOf(error))
  }
}
