import { gunzipSync } from 'node:zlib'
import { type BucketName, buckets, type StoreName, stores } from '../../lib/inventory.ts'
import { type Assessment, assess } from '../../lib/status/judge/assess.ts'
import { contentsOf } from '../../lib/status/judge/contents.ts'
import { expectedOf } from '../../lib/status/judge/expected.ts'
import { recordsToCompare } from '../../lib/status/judge/movable.ts'
import type { Bounds, Seen, SeenFile, SeenShelf } from '../../lib/status/look/seen.ts'
import { bucketBounds, folderBounds, wantedTexts } from '../../lib/status/look/wanted.ts'
import type { Files, HeldFile } from './files.ts'
import { scaled } from './token.ts'
import { melloFree, melloTotal, shareFree, shareTotal, type World } from './world.ts'

/** What `status` on Mello remembers of SFS between looks. */
export interface Remembered {
  sfs?: SeenShelf
}

const expected = expectedOf('production', ['sfs', 'mello', 'r2'])

/** What `status` on Mello would say now: simulated stores, real judgement. */
export function lookAround(world: World, remembered: Remembered): Assessment {
  const now = new Date(world.now + world.mello.ahead)
  const { verda, share, r2, models, settings } = world
  const seesShare = verda.on && share !== 'unmounted' && share !== 'hangs'
  const sfs = seesShare
    ? shelf(world, 'sfs', world.sfsFiles, folderBounds, now)
    : hidden(remembered, verda.on, now)
  if (seesShare) {
    sfs.room = { freeBytes: share === 'full' ? 0 : shareFree(world), totalBytes: shareTotal }
    remembered.sfs = sfs
  }
  const mello = shelf(world, 'mello', world.melloFiles, folderBounds, now)
  mello.room = { freeBytes: melloFree(world), totalBytes: melloTotal }
  const objects = (Object.keys(buckets) as BucketName[]).map((bucket) =>
    r2 === 'away'
      ? blank('r2', now, 'R2 does not answer', bucket)
      : shelf(world, 'r2', world.r2Files[bucket], bucketBounds, now, bucket),
  )
  compareMello(world, [mello, ...objects.filter(({ state }) => state === 'seen')])
  const seen: Seen = {
    now,
    drill: false,
    environment: settings.environment,
    userDataHost: settings.userDataHost,
    shelves: [sfs, mello, ...objects],
    // Pushing the credentials needs a real git and is not simulated.
    repository: { time: now },
    ...(seesShare && {
      models: {
        where: 'PROD_SFS',
        files: [...models].map(([path, { bytes }]) => ({ path, bytes: scaled(bytes) })),
      },
    }),
    ...(verda.markedOff !== undefined && {
      verdaOff: { since: new Date(verda.markedOff), answers: verda.on },
    }),
  }
  return assess(seen)
}

/** Reads R2's records to find which of Mello's copies R2 also has, as lib/status/look/gather.ts does. */
function compareMello(world: World, shelves: readonly SeenShelf[]): void {
  const contents = shelves.map((one) => contentsOf(one, expected, world.settings.environment))
  for (const [{ shelf: one }, keys] of recordsToCompare(contents, 60)) {
    const files = world.r2Files[one.bucket as BucketName]
    for (const key of keys) one.texts[key] = files.get(key)?.content.toString() ?? ''
  }
}

function shelf(
  world: World,
  store: StoreName,
  files: Files,
  bounds: Bounds,
  at: Date,
  bucket?: BucketName,
): SeenShelf {
  const all = files.under('')
  const made: SeenShelf = {
    ...blank(store, at, undefined, bucket),
    state: 'seen',
    files: all.map(({ key, file }): SeenFile => {
      const { content, modified } = file
      return { key, bytes: content.length, modified, ...(store === 'sfs' && { content: inode(file) }) }
    }),
  }
  const contents = contentsOf(made, expected, world.settings.environment)
  for (;;) {
    const keys = wantedTexts(contents, expected, made.texts, bounds)
    if (keys.length === 0) return made
    for (const key of keys) made.texts[key] = textOf(key, files.get(key))
  }
}

function textOf(key: string, file: HeldFile | undefined): string {
  const content = file?.content ?? Buffer.alloc(0)
  return (key.endsWith('.list.gz') ? gunzipSync(content) : content).toString()
}

function hidden({ sfs }: Remembered, answers: boolean, at: Date): SeenShelf {
  const problem = answers ? 'sfs: /mnt/sfs cannot be looked at' : 'verda cannot be reached'
  return sfs ? { ...sfs, state: 'remembered', problem, answers } : { ...blank('sfs', at, problem), answers }
}

function blank(store: StoreName, at: Date, problem?: string, bucket?: BucketName): SeenShelf {
  return {
    store,
    ...(bucket && { bucket }),
    title: bucket ? `${store} bucket ${buckets[bucket].name}` : stores[store].title,
    state: 'unseen',
    at,
    ...(problem !== undefined && { problem }),
    files: [],
    texts: {},
  }
}

/** Names of one file share its inode. */
function inode(file: HeldFile): string {
  const known = inodes.get(file)
  if (known !== undefined) return known
  const made = `1:${++count}`
  inodes.set(file, made)
  return made
}

const inodes = new WeakMap<HeldFile, string>()
let count = 0
