import {
  type BucketName,
  buckets,
  type CommandName,
  type Hours,
  type Item,
  items,
  type StoreName,
  type StorePolicy,
  stores,
} from '../inventory.ts'
import { folderOf } from '../plan.ts'
import type { KeepRule } from '../retention.ts'
import { selectItems } from '../select.ts'

/** An item that belongs into a store. */
export interface Expected {
  item: Item
  store: StoreName
  bucket: BucketName
  /** Before the names of its archives. */
  folder: string
  /** Those that bring it there. */
  commands: CommandName[]
  /** When it is brought there by the clock; absent where only a person does. */
  hours?: Hours
  /** Which copies the bucket's rule keeps, or would keep; absent where it has none. */
  keep?: KeepRule
}

/** Everything that has to lie somewhere, store by store, in the inventory's order. */
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
          ...(hours !== undefined && hours !== 'on addition' ? { hours } : {}),
          ...(keep !== undefined && keep !== 'all' ? { keep } : {}),
        },
      ]
    }),
  )
  const order = Object.keys(stores)
  return expected.sort((a, b) => order.indexOf(a.store) - order.indexOf(b.store))
}

/** The longest time between two runs that keep to these hours, in hours. */
export function longestGap(hours: Hours): number {
  if (hours === 'every') return 1
  const sorted = [...hours].sort((a, b) => a - b)
  return Math.max(...sorted.map((hour, index) => (sorted[index + 1] ?? (sorted[0] ?? 0) + 24) - hour))
}

/** `every hour`, `at 2, 6, 14, 18 h` (UTC) */
export function hoursInWords(hours: Hours): string {
  return hours === 'every' ? 'every hour' : `at ${hours.join(', ')} h`
}

/** After how many hours without a good run something is overdue: one run may fail or be slow, not two. */
export function graceHours(hours: Hours): number {
  return 2 * longestGap(hours)
}

/** With the stores that follow another one. */
function storesOf({ name, commands }: Item): { store: StoreName; commands: CommandName[] }[] {
  const into = new Map<StoreName, CommandName[]>()
  for (const command of Object.keys(commands) as CommandName[]) {
    for (const { stores: chosen } of selectItems({ command, only: [name] })) {
      for (const store of chosen) into.set(store, [...(into.get(store) ?? []), command])
    }
  }
  return [...into].map(([store, by]) => ({ store, commands: by }))
}

/** What goes to Mello goes there by hand; object stores share one schedule and one rule. */
function policyOf(bucket: BucketName, store: StoreName): Partial<StorePolicy> {
  const { sfs, r2 }: { sfs?: StorePolicy; r2: StorePolicy } = buckets[bucket]
  if (store === 'sfs') return sfs ?? {}
  return store === 'mello' ? { keep: r2.keep } : r2
}
