import * as v from 'valibot'
import { listOf, orNone, readJson, size, timeText } from '../files/json.ts'
import type { BucketName, StoreName } from '../inventory.ts'
import { environmentFolder, readRunReportName } from '../naming.ts'
import { type AppendOnlyStore, smallText } from '../stores/store.ts'

/** An archive that was read and found broken, and how it looked then. */
const broken = v.object({
  bucket: v.pipe(
    v.string(),
    v.transform((name) => name as BucketName),
  ),
  item: v.string(),
  key: v.string(),
  bytes: size,
  /** When the store last took it. */
  modified: timeText,
  recorded: v.boolean(),
  /** When it was found. */
  at: timeText,
  reason: v.string(),
})
export type Broken = v.InferOutput<typeof broken>

const item = v.object({
  item: v.string(),
  archives: size,
  bytes: size,
  /** Those that no run has read in their current state. */
  unread: v.object({ archives: size, bytes: size }),
  /** The archive last found good, and when. */
  good: orNone(v.object({ key: v.string(), at: timeText })),
})
export type VerifiedItem = v.InferOutput<typeof item>

/**
 * What `verify` knows of a store, kept there as `runs/verify-<stamp>.json` so that every machine's status and
 * backups can read it. Each report includes what the previous one knew.
 */
const report = v.object({
  command: v.literal('verify'),
  environment: v.string(),
  store: v.pipe(
    v.string(),
    v.transform((name) => name as StoreName),
  ),
  startedAt: timeText,
  finishedAt: timeText,
  ok: v.boolean(),
  // Whole or no report: what is absent or cannot be read must not look good.
  broken: v.array(broken),
  /** Without a record, and refused by `--adopt`. */
  refused: listOf(broken),
  items: listOf(item),
})
export type Verified = v.InferOutput<typeof report>

/** The facts about a listed archive that matter to a backup, a rotation or status. */
export interface Listed {
  key: string
  bytes?: number
  modified?: Date
}

/** What one of a report's lists says of exactly this archive, if it was not replaced or repaired since. */
export function foundAmong(
  all: readonly Broken[] = [],
  bucket: BucketName,
  { key, bytes, modified }: Listed,
): Broken | undefined {
  return all.find(
    (one) =>
      one.bucket === bucket &&
      one.key === key &&
      one.bytes === bytes &&
      modified !== undefined &&
      isSameTime(one.modified, modified),
  )
}

/** Tools round fractions of a second differently in listings. */
function isSameTime(text: string, time: Date): boolean {
  return Math.abs(Date.parse(text) - time.getTime()) < 1000
}

/**
 * The newest readable report of `verify` in a store, no later than `now`. `store`: where it keeps run
 * reports; for an object store the bucket `cache`. `onUnread` gets each newer one that is unreadable. Throws
 * StoreError if the store cannot be read.
 */
export async function newestVerified(
  store: AppendOnlyStore,
  environment: string,
  now: Date,
  onUnread: (key: string) => void = () => {},
): Promise<Verified | undefined> {
  const folder = environmentFolder(environment)
  const keys: string[] = []
  for await (const { key } of store.list(`${folder}runs/verify-`)) {
    const name = readRunReportName(key.slice(folder.length))
    if (name?.command === 'verify' && name.time <= now) keys.push(key)
  }
  for (const key of keys.sort().slice(-mostTried).reverse()) {
    const verified = readVerified((await smallText(store, key)) ?? '')
    if (verified) return verified
    onUnread(key)
  }
  return undefined
}

const mostTried = 5

/**
 * Tells whether any store's archives are known to be broken. Asks each store once, on the first question.
 * `open`: opens the part of a store that keeps its run reports.
 */
export function brokenByStore(
  open: (store: StoreName) => AppendOnlyStore,
  environment: string,
  now: Date,
): (store: StoreName) => Promise<(bucket: BucketName, archive: Listed) => Broken | undefined> {
  const known = new Map<StoreName, Promise<Verified | undefined>>()
  return async (name) => {
    if (!known.has(name)) known.set(name, newestVerified(open(name), environment, now))
    const verified = await known.get(name)
    return (bucket, archive) => foundAmong(verified?.broken, bucket, archive)
  }
}

/** Reads a kept report of `verify`. Undefined if it is none, or if not all that it found broken can be read. */
export function readVerified(text: string): Verified | undefined {
  return readJson(report, text)
}
