import { type BucketName, buckets, type HostName, type StoreName } from '../../lib/inventory.ts'
import { selectStored } from '../../lib/select.ts'
import { type Archive, listArchives, type Shelf } from '../../lib/verify/archives.ts'
import { makeBudget } from '../../lib/verify/budget.ts'
import type { Memory, Seen } from '../../lib/verify/memory.ts'
import { planReads } from '../../lib/verify/plan.ts'
import { readStore } from '../../lib/verify/read-store.ts'
import type { Checked } from '../../lib/verify/report.ts'
import type { StoreView } from '../../lib/verify/survey.ts'
import type { Chance } from './chance.ts'
import { scale } from './token.ts'
import { startProcess, storeIn, type World } from './world.ts'

/** What each store's verification remembers, over the months. */
export type Memories = Map<string, Memory>

/** The verify of a crontab: on Verda all of the share, on Mello 200 GB of its own copies and of R2. Returns what it found broken. */
export async function verifyMonth(
  world: World,
  host: HostName,
  memories: Memories,
  chance: Chance,
): Promise<Checked[]> {
  const names: StoreName[] = host === 'verda' ? ['sfs'] : ['mello', 'r2']
  const views: { view: StoreView; memory: Memory }[] = []
  for (const name of names) {
    const memory = memories.get(name) ?? newMemory()
    memories.set(name, memory)
    const view = await viewOf(world, host, name)
    if (view) views.push({ view, memory })
  }
  const now = new Date(world.now)
  const request = {
    selected: selectStored(undefined),
    sample: false,
    adopt: false,
    ...(host === 'mello' ? { budget: 200e9 / scale } : {}),
  }
  const plan = planReads(request, views, world.settings, now, chance.next, true)
  const broken: Checked[] = []
  for (const store of plan.stores) {
    await readStore(store, {
      settings: world.settings,
      clock: () => now,
      budget: makeBudget(0),
      elsewhere: async () => [],
      adopting: false,
      onStart() {},
      onBytes() {},
      onChecked: (checked) => {
        if (checked.status === 'broken') broken.push(checked)
      },
      onAdopted() {},
      onUnread() {},
      onAway() {},
      problem() {},
    })
    store.memory.keepOnly(store.view.byItem.flat())
  }
  return broken
}

/** What is listed of a store; undefined when it cannot be. Archives without a record are left out: tokens are no gzip that could be looked into. */
async function viewOf(world: World, host: HostName, name: StoreName): Promise<StoreView | undefined> {
  const process = startProcess(world[host])
  const view: StoreView = { name, failures: [], shelves: [], byItem: [], listedAt: 0 }
  for (const bucket of Object.keys(buckets) as BucketName[]) {
    const shelf: Shelf = { name, bucket, store: storeIn(world, process, name, bucket) }
    view.shelves.push(shelf)
    for (const { item, stores } of selectStored(undefined)) {
      if (item.bucket !== bucket || !stores.includes(name)) continue
      try {
        const archives = await listArchives(shelf, item, world.settings.environment)
        view.byItem.push(archives.filter(({ recorded }) => recorded))
      } catch {
        return undefined
      }
    }
  }
  return view
}

function newMemory(): Memory {
  const known = new Map<string, Seen>()
  const nameOf = ({ bucket, key }: Archive) => `${bucket} ${key}`
  let first: string | undefined
  return {
    seen(archive) {
      const found = known.get(nameOf(archive))
      return found?.bytes === archive.bytes && found?.modified === archive.modified?.toISOString()
        ? found
        : undefined
    },
    note(archive, seen) {
      const { bytes = 0, modified = new Date(0) } = archive
      known.set(nameOf(archive), { ...seen, bytes, modified: modified.toISOString() })
    },
    isFirst: (archive) => nameOf(archive) === first,
    setFirst(archive) {
      first = archive && nameOf(archive)
    },
    keepOnly(archives) {
      const left = new Set(archives.map(nameOf))
      for (const name of known.keys()) if (!left.has(name)) known.delete(name)
    },
    save: async () => {},
  }
}
