import { folderOf } from '../../backup/plan.ts'
import { selectItems } from '../../backup/select.ts'
import { nextTime, readCrontab, toolkitRun } from '../../crontab.ts'
import {
  type BucketName,
  buckets,
  type CommandName,
  type Hours,
  type Item,
  isCommand,
  items,
  type StoreName,
  type StorePolicy,
  stores,
} from '../../inventory.ts'
import type { KeepRule } from '../../retention.ts'
import { groupBy } from '../../text.ts'

/** An item that a store should have. */
export interface Expected {
  item: Item
  store: StoreName
  bucket: BucketName
  /** The prefix of its archives' names. */
  folder: string
  /** The commands that store it there. */
  commands: CommandName[]
  /** When cron stores it there; absent if only people do. */
  hours?: Hours
  /** Which copies the bucket's rule keeps, or would keep; absent if it has none. */
  keep?: KeepRule
}

/** How its archives' names begin. */
export function prefixOf({ folder, item }: Expected): string {
  return `${folder}${item.name}-`
}

/** Everything that stores should have, store by store, in the inventory's order. */
export function expectedOf(environment: string, used: readonly StoreName[]): Expected[] {
  const expected = items.flatMap((item) =>
    storesOf(item).flatMap(({ store, commands }) => {
      if (item.bucket === undefined || !used.includes(store)) return []
      const { hours, keep } = policyOf(item.bucket, store)
      return [
        {
          item,
          store,
          bucket: item.bucket,
          folder: folderOf(item, environment),
          commands,
          hours: hours === 'on addition' ? undefined : hours,
          keep: keep === 'all' ? undefined : keep,
        },
      ]
    }),
  )
  const order = Object.keys(stores)
  return expected.sort((a, b) => order.indexOf(a.store) - order.indexOf(b.store))
}

/** The longest gap between two runs at these hours, in hours. */
export function longestGap(hours: Hours): number {
  if (hours === 'every') return 1
  const sorted = [...hours].sort((a, b) => a - b)
  return Math.max(...sorted.map((hour, index) => (sorted[index + 1] ?? (sorted[0] ?? 0) + 24) - hour))
}

/** `every hour`, `at 2, 6, 14, 18 h` (UTC) */
export function hoursInWords(hours: Hours): string {
  return hours === 'every' ? 'every hour' : `at ${hours.join(', ')} h`
}

/** After how many hours without success it is overdue: one run may fail or be slow, two may not. */
export function graceHours(hours: Hours): number {
  return 2 * longestGap(hours)
}

/** Includes the stores that follow another one. */
function storesOf({ name, commands }: Item): { store: StoreName; commands: CommandName[] }[] {
  const into = (Object.keys(commands) as CommandName[]).flatMap((command) =>
    selectItems({ command, only: [name] }).flatMap(({ stores: chosen }) =>
      chosen.map((store) => ({ store, command })),
    ),
  )
  return [...groupBy(into, ({ store }) => store)].map(([store, by]) => ({
    store,
    commands: by.map(({ command }) => command),
  }))
}

/** Mello gets its copies by hand; all object stores share one schedule and rule. */
function policyOf(bucket: BucketName, store: StoreName): Partial<StorePolicy> {
  const { sfs, r2 }: { sfs?: StorePolicy; r2: StorePolicy } = buckets[bucket]
  if (store === 'sfs') return sfs ?? {}
  return store === 'mello' ? { keep: r2.keep } : r2
}

/** A crontab line that runs a backup. */
export interface CronRun {
  /** Whose crontab: `verda`, `mello`. */
  host: string
  command: CommandName
  flags: string
  schedule: string
}

/** The next run of each line. */
export interface NextRun {
  host: string
  command: CommandName
  flags: string
  time: Date
}

/** The crontab lines that run backups. Pure. */
export function readCronRuns(host: string, text: string): CronRun[] {
  return readCrontab(text).lines.flatMap((line) => {
    const { name, argv = [] } = toolkitRun(line) ?? {}
    return isCommand(name) ? [{ host, command: name, flags: argv.join(' '), schedule: line.schedule }] : []
  })
}

/** Soonest first, without lines that never run. Pure. */
export function nextRuns(runs: readonly CronRun[], now: Date): NextRun[] {
  return runs
    .flatMap(({ schedule, ...run }) => {
      const time = nextTime(schedule, now)
      return time === undefined ? [] : [{ ...run, time }]
    })
    .sort((a, b) => a.time.getTime() - b.time.getTime())
}
