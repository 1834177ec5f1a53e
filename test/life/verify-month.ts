import { selectStored } from '../../lib/backup/select.ts'
import { type BucketName, buckets, type HostName, type StoreName } from '../../lib/inventory.ts'
import type { Memory, Seen } from '../../lib/verify/memory.ts'
import { type Known, makeBudget, planReads } from '../../lib/verify/plan.ts'
import type { Checked } from '../../lib/verify/read.ts'
import { readStore } from '../../lib/verify/read.ts'
import { type Archive, listArchives, type Shelf, type StoreView } from '../../lib/verify/survey.ts'
import type { Chance } from './chance.ts'
import { scale } from './token.ts'
import { startProcess, storeIn, type World } from './world.ts'

/** What verification remembers of each store over the months. */
export type Memories = Map<string, Memory>

/** Runs the crontab's verify: all of the share on Verda, 200 GB of Mello and R2. Returns what is broken. */
export async function verifyMonth(
  world: World,
  host: HostName,
  memories: Memories,
  chance: Chance,
): Promise<Checked[]> {
  const names: StoreName[] = host === 'verda' ? ['sfs'] : ['mello', 'r2']
  const views: Known[] = []
  for (const name of names) {
    const memory = memories.get(name) ?? newMemory()
    memories.set(name, memory)
    const view = await viewOf(world, host, name)
    if (view) views.push({ view, memory, before: undefined })
  }
  const now = new Date(world.now)
  const request = {
    selected: selectStored(undefined),
    everything: true,
    sample: false,
    adopt: false,
    ...(host === 'mello' ? { budget: 200e9 / scale } : {}),
  }
  const plan = planReads(request, views, world.settings, now, chance.next)
  const broken: Checked[] = []
  for (const store of plan.stores) {
    await readStore(store, {
      settings: world.settings,
      clock: () => now,
      budget: makeBudget(0),
      elsewhere: async () => [],
      adopting: false,
      tell(event) {
        if (event.kind === 'checked' && event.checked.status === 'broken') broken.push(event.checked)
      },
    })
    store.memory.keepOnly(store.view.byItem.flat())
  }
  return broken
}

/** Lists a store; undefined if unreachable. Skips archives without a record: tokens are not gzip. */
async function viewOf(world: World, host: HostName, name: StoreName): Promise<StoreView | undefined> {
  const process = startProcess(world[host])
  const view: StoreView = { name, failures: [], shelves: [], items: [], byItem: [], listedAt: 0 }
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
  const nameOf = ({ bucket, key }: Pick<Archive, 'bucket' | 'key'>) => `${bucket} ${key}`
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
