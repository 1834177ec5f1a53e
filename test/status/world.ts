import { createHash } from 'node:crypto'
import { type CommandName, items, type StoreName } from '../../lib/inventory.ts'
import { archiveName, makeStamp, recordName, runReportName, type StampUnit } from '../../lib/naming.ts'
import { makeRecord } from '../../lib/record.ts'
import { type Expected, expectedOf, graceHours } from '../../lib/status/judge/expected.ts'
import type { Seen, SeenShelf } from '../../lib/status/look/seen.ts'

export const hour = 3_600_000
export const day = 24 * hour

/** What a generated history is made of. */
export interface Shape {
  now: Date
  /** Copies of each item, one a day. */
  copies: number
  /** Since the newest content of what never rotates. */
  unchangedDays: number
  /** Since the last run of each command. */
  minutesAgo: number
  hetzner: boolean
  /** Bytes of an archive of an item, so many days old; else those of its content. */
  bytesOf?: (item: string, age: number) => number
}

/** One item in one store, with the keys of its copies, newest first. */
export interface Place {
  expected: Expected
  shelf: SeenShelf
  keys: string[]
}

export interface World {
  seen: Seen
  places: Place[]
  /** As the report of a run, in each store that holds reports of the command. */
  putReport(report: object & { command: CommandName; startedAt: string }): void
}

const modelFiles = ['checkpoints/base.safetensors', 'loras/style.safetensors']

/**
 * A history in which nothing is wrong: every item has copies wherever it belongs, each command ran a few minutes ago and found everything
 * unchanged, so that on what never rotates the newest copy may be as old as it likes.
 */
export function healthyWorld(shape: Shape): World {
  const { now, copies, unchangedDays, minutesAgo, hetzner } = shape
  const used: StoreName[] = ['sfs', 'mello', 'r2', ...(hetzner ? (['hetzner'] as const) : [])]
  const expected = expectedOf('production', used)
  const shelves = new Map<string, SeenShelf>()
  const shelfOf = (store: StoreName, bucket: Expected['bucket']): SeenShelf => {
    const isBucket = store === 'r2' || store === 'hetzner'
    const title = isBucket ? `${store} bucket ${bucket}` : store
    const shelf = shelves.get(title) ?? {
      store,
      title,
      state: 'seen' as const,
      at: now,
      files: [],
      texts: {},
    }
    if (isBucket) shelf.bucket = bucket
    shelves.set(title, shelf)
    return shelf
  }
  const ran = new Date(now.getTime() - minutesAgo * 60_000)
  const places = expected.map((one): Place => {
    const shelf = shelfOf(one.store, one.bucket)
    const place: Place = { expected: one, shelf, keys: [] }
    if (one.item.capture.kind === 'models') {
      for (const file of modelFiles) putArchive(place, one.folder + file, ran, `content of ${file}`)
      return place
    }
    const newest = one.store === 'sfs' ? 0 : unchangedDays
    for (let age = newest; age < newest + copies; age++) {
      const time = new Date(ran.getTime() - age * day)
      putCopy(place, time, time, shape.bytesOf?.(one.item.name, age))
    }
    return place
  })
  const seen: Seen = {
    now,
    drill: false,
    environment: 'production',
    userDataHost: 'mello',
    shelves: [...shelves.values()],
    models: {
      where: 'PROD_SFS',
      files: modelFiles.map((path) => ({ path, bytes: `content of ${path}`.length })),
    },
    repository: { time: new Date(now.getTime() - 100 * day) },
  }
  const putReport: World['putReport'] = (report) => {
    const key = runReportName(report.command, new Date(report.startedAt))
    for (const shelf of seen.shelves) {
      const holds =
        report.command === 'backup-cron'
          ? shelf.store === 'sfs'
          : shelf.bucket === 'cache' || (shelf.store === 'mello' && report.command === 'backup-verda')
      if (!holds) continue
      const text = JSON.stringify(report)
      shelf.files.push({ key, bytes: text.length, modified: new Date(report.startedAt) })
      shelf.texts[key] = text
    }
  }
  for (const command of ['backup-cron', 'backup-verda', 'backup-mello'] as const)
    putReport(runReport(command, ran, places))
  return { seen, places, putReport }
}

/** A run in which everything of a command was found unchanged, but for what `outcome` says. */
export function runReport(
  command: CommandName,
  time: Date,
  places: readonly Place[],
  outcome: (place: Place) => object | undefined = unchanged,
) {
  const own = places.filter(({ expected }) => expected.commands.includes(command))
  return {
    command,
    startedAt: time.toISOString(),
    finishedAt: time.toISOString(),
    ok: true,
    problems: [],
    items: items.flatMap(({ name }) => {
      const stores = own
        .filter(({ expected }) => expected.item.name === name)
        .flatMap((place) => {
          const told = outcome(place)
          return told ? [[place.expected.store, told] as const] : []
        })
      return stores.length === 0
        ? []
        : [{ item: name, status: 'unchanged', stores: Object.fromEntries(stores) }]
    }),
  }
}

export function unchanged({ expected, keys, shelf }: Place): object {
  if (expected.item.capture.kind === 'models') return { status: 'unchanged' }
  const bytes = shelf.files.find(({ key }) => key === keys[0])?.bytes
  return { status: 'unchanged', key: keys[0], bytes }
}

/** A good copy, made at a time. */
export function putCopy(place: Place, time: Date, recordTime = time, bytes?: number): string {
  const { item, folder, bucket } = place.expected
  const unit: StampUnit = bucket === 'user-files' ? 'hour' : 'day'
  const key = folder + archiveName(item.name, makeStamp(time, unit))
  putArchive(place, key, recordTime, `content of ${key}`, bytes)
  return key
}

function putArchive(
  { shelf, keys, expected }: Place,
  key: string,
  time: Date,
  content: string,
  bytes = content.length,
): void {
  const archive = key.slice(key.lastIndexOf('/') + 1)
  const sha256 = createHash('sha256').update(content).digest('hex')
  const record = makeRecord({ archive, item: expected.item.name, time, bytes, sha256 })
  shelf.files.push({ key, bytes, modified: time, ...(expected.store === 'r2' && { proven: true as const }) })
  shelf.files.push({ key: recordName(key), bytes: record.length, modified: time })
  shelf.texts[recordName(key)] = record
  keys.push(key)
}

export function removeFile({ shelf }: Pick<Place, 'shelf'>, key: string): void {
  shelf.files = shelf.files.filter((file) => file.key !== key)
}

/** Whether something that was last known to be good at a time is overdue. */
export function isLate({ expected }: Place, time: Date, now: Date): boolean {
  return expected.hours !== undefined && now.getTime() - time.getTime() > graceHours(expected.hours) * hour
}
