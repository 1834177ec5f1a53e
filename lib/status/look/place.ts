import { setTimeout as sleep } from 'node:timers/promises'
import { type BucketName, buckets, type StoreName, stores } from '../../inventory.ts'
import { recordName } from '../../naming.ts'
import { messageOf } from '../../text.ts'
import { type Contents, contentsOf, knownOn } from '../judge/contents.ts'
import type { Expected } from '../judge/expected.ts'
import type { Look } from './access.ts'
import { bucketPlace } from './bucket.ts'
import { folderPlace } from './folder.ts'
import type { Place, SeenShelf } from './seen.ts'
import { prefixesWithout, recentOf, wantedTexts } from './wanted.ts'

/** The parts of a store: one folder, or its buckets. */
export function openPlaces(
  store: StoreName,
  { settings, vantage }: Pick<Look, 'settings' | 'vantage'>,
): Place[] {
  const { root, cache, requireMount } = settings.sfs
  if (store === 'sfs')
    return [
      folderPlace(store, vantage.verda, {
        folder: cache,
        mount: requireMount ? root : undefined,
        ifNever: ': nothing was ever backed up there, or SFS_CACHE is wrong',
      }),
    ]
  if (store === 'mello')
    return [
      folderPlace(store, vantage.mello, {
        folder: settings.melloBackups,
        ifNever:
          '. If this is Mello, nothing was ever backed up there: run comfyume-backup backup-verda; else look from Mello',
      }),
    ]
  const names = Object.keys(buckets) as BucketName[]
  return names.map((bucket) => bucketPlace(store, bucket, settings))
}

/** Lists a place, and reads the records and reports that describe it. Failures become the shelf's problem. */
export async function lookAt(
  place: Place,
  expected: readonly Expected[],
  { settings: { environment }, now, all = false }: Pick<Look, 'settings' | 'now' | 'all'>,
): Promise<SeenShelf> {
  try {
    for (let attempt = 1; ; attempt++) {
      const shelf: SeenShelf = {
        ...aboutOf(place),
        state: 'seen',
        at: now,
        texts: {},
        ...(await place.list(all ? undefined : recentOf(place, expected, environment, now))),
      }
      let contents = contentsOf(shelf, expected, environment)
      await readInto(shelf, contents, expected, place)
      const lacking = prefixesWithout(contents)
      if (lacking.length > 0) {
        await listOlder(shelf, lacking, place)
        contents = contentsOf(shelf, expected, environment)
        await readInto(shelf, contents, expected, place)
      }
      const mayChange = stores[place.store].kind === 'directory'
      if (attempt === 2 || !mayChange || !isCaughtInTheMiddle(shelf, contents)) return shelf
      await sleep(2000)
    }
  } catch (error) {
    return blankShelf(place, now, messageOf(error))
  }
}

/** Lists everything with these prefixes, of which only the end was listed. */
async function listOlder(shelf: SeenShelf, prefixes: readonly string[], { under }: Place): Promise<void> {
  const older = await Promise.all(prefixes.map(async (prefix) => under?.(prefix) ?? []))
  shelf.files = [...new Map([...older.flat(), ...shelf.files].map((file) => [file.key, file])).values()]
  if (shelf.since) shelf.since.prefixes = shelf.since.prefixes.filter((prefix) => !prefixes.includes(prefix))
}

/** A place that is left out or, with a problem, could not be seen. */
export function blankShelf(
  place: Pick<Place, 'store' | 'bucket' | 'title'>,
  now: Date,
  problem?: string,
): SeenShelf {
  const state = problem === undefined ? 'left out' : 'unseen'
  return { ...aboutOf(place), state, at: now, problem, files: [], texts: {} }
}

function aboutOf({ store, bucket, title }: Pick<Place, 'store' | 'bucket' | 'title'>) {
  return bucket === undefined ? { store, title } : { store, bucket, title }
}

async function readInto(
  shelf: SeenShelf,
  contents: Contents,
  expected: readonly Expected[],
  { bounds, read }: Place,
): Promise<void> {
  for (;;) {
    const keys = wantedTexts(contents, expected, shelf.texts, bounds)
    if (keys.length === 0) return
    const texts = await read(keys)
    for (const key of keys) shelf.texts[key] = texts.get(key) ?? ''
    if (stores[shelf.store].kind === 'object') continue
    // What rotation removed since the listing does not count.
    const gone = new Set(keys.filter((key) => !texts.has(key)))
    shelf.files = shelf.files.filter(({ key }) => !gone.has(key) && !gone.has(recordName(key)))
  }
}

/** A run that changed something between listing and reading looks like damage; real damage lasts. */
function isCaughtInTheMiddle(shelf: SeenShelf, { archives }: Contents): boolean {
  return archives
    .flatMap(({ copies }) => copies)
    .some((copy) => {
      if (copy.recordKey === undefined || copy.bytes === undefined) return true
      return shelf.texts[copy.recordKey] !== undefined && !knownOn(shelf, copy)?.good
    })
}
