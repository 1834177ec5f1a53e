import type { BucketName, RestoreSource, StoreName } from '../../lib/inventory.ts'
import { BadArchive } from '../../lib/restore/bad-archive.ts'
import { gate } from '../../lib/restore/gate.ts'
import { offersOf } from '../../lib/restore/offers.ts'
import { makeRestorePlan, type PlannedItem } from '../../lib/restore/plan.ts'
import { type RestoreRequest, readAt, selectForRestore } from '../../lib/restore/request.ts'
import type { ArchiveSource } from '../../lib/restore/sources.ts'
import type { Offer } from '../../lib/restore-order.ts'
import type { Stock, TrueCopy } from './stock.ts'
import { readToken } from './token.ts'
import { archived, startProcess, storeIn, violation, type World } from './world.ts'

/** What came back of one item. */
export interface Restored {
  item: string
  source: RestoreSource
  version: number
  /** The record's. */
  time: number
  /** How many better copies turned out to be bad when they were read. */
  bad: number
}

export interface Wish {
  /** As --at takes it; absent: now. */
  at?: string
  prefer: 'order' | 'newest'
  /** Mello's copies were brought along (scp), or it runs there. */
  withMello: boolean
}

/**
 * A restore of everything that is an archive, with the real order, plan and gate: each item's candidates are read one after another until one is what its record says.
 * Holds it against what truly lies in the stores. Throws a violation.
 */
export async function restoreAll(world: World, stock: Stock, wish: Wish): Promise<Restored[]> {
  const at = wish.at === undefined ? undefined : readAt(wish.at)
  const request: RestoreRequest = {
    only: archived.map(({ name }) => name),
    prefer: wish.prefer,
    withModels: false,
    withContainers: true,
    skipSfs: false,
    ...(at ? { at } : {}),
  }
  const now = new Date(world.now)
  const selected = selectForRestore(request, world.settings)
  const sources = sourcesIn(world, wish)
  const away = new Map<RestoreSource, Map<BucketName, string>>()
  const offers = new Map<string, Offer[]>()
  for (const { item, sources: own } of selected) {
    const found: Offer[] = []
    for (const source of sources.filter(({ name }) => own.includes(name)))
      found.push(...(await offersOf(source, item, world.settings.environment, at && at < now ? at : now)))
    offers.set(item.name, found)
  }
  const plan = makeRestorePlan(selected, request, { offers, away }, world.settings, '/', now)
  const limit = Math.min(world.now, at?.getTime() ?? world.now)
  const restored: Restored[] = []
  for (const planned of plan.items) {
    const back = await bringBack(planned, sources)
    judge(world, stock, planned, back, limit, wish, sources)
    if (back) restored.push(back)
  }
  return restored
}

/** The sources that can be reached from a new instance. */
function sourcesIn(world: World, { withMello }: Wish): ArchiveSource[] {
  const reachable: Record<string, boolean> = {
    sfs: world.share !== 'hangs' && world.share !== 'unmounted',
    r2: world.r2 === 'well',
    mello: world.mello.on && withMello,
  }
  const process = startProcess(world.verda)
  return (['sfs', 'r2', 'mello'] as const)
    .filter((name) => reachable[name])
    .map((name) => ({
      name,
      store: (bucket) => storeIn(world, process, name, bucket),
      folders: (folder) => [folder],
      away: async () => undefined,
    }))
}

async function bringBack(
  { item, candidates }: PlannedItem,
  sources: readonly ArchiveSource[],
): Promise<Restored | undefined> {
  let bad = 0
  for (const offer of candidates) {
    try {
      const content = await read(offer, item, sources)
      const token = readToken(content)
      if (token?.item !== item) throw new BadArchive('it is no token of this item')
      return { item, source: offer.source, version: token.version, time: Number(offer.time), bad }
    } catch (error) {
      if (!(error instanceof BadArchive)) throw error
      bad++
    }
  }
  return undefined
}

async function read(offer: Offer, item: string, sources: readonly ArchiveSource[]): Promise<Buffer> {
  const bucket = archived.find(({ name }) => name === item)?.bucket as BucketName
  const store = (sources.find(({ name }) => name === offer.source) as ArchiveSource).store(bucket)
  const chunks: Buffer[] = []
  for await (const chunk of gate(await store.open(offer.key), offer.record, { bytes: 0, sha256: '' }))
    chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** The promise: of the sources in their order the first that has a good copy by then, and of it the newest; `newest`: of all of them. */
function judge(
  world: World,
  stock: Stock,
  { item, newer, passed }: PlannedItem,
  back: Restored | undefined,
  limit: number,
  { prefer }: Wish,
  sources: readonly ArchiveSource[],
): void {
  const order = (archived.find(({ name }) => name === item)?.restore ?? []).filter((name) =>
    sources.some((source) => source.name === name),
  )
  const best = order
    .map((source) => stock.newest(item, source as StoreName, limit))
    .filter((copy): copy is TrueCopy => copy !== undefined)
  const newest = best.reduce<TrueCopy | undefined>(
    (one, other) => (one && one.time >= other.time ? one : other),
    undefined,
  )
  // A source whose best copy is bad falls through to the best of the next one, before its own second.
  const fellThrough = (back?.bad ?? 0) > 0 || passed.some(({ instead }) => instead)
  const promised = prefer === 'newest' ? [newest] : fellThrough ? best : [best[0]]
  const told = (copy: { version: number; time: number } | undefined) =>
    copy ? `version ${copy.version} of ${new Date(copy.time).toISOString()}` : 'nothing'
  if (!promised.some((copy) => copy?.version === back?.version && copy?.time === back?.time))
    throw violation(
      world,
      `a restore of ${item} (${prefer}, not later than ${new Date(limit).toISOString()}) brought ${told(back)}${back ? ` from ${back.source}` : ''}; ` +
        `there was ${promised.map((copy) => `${told(copy)}${copy ? ` as ${copy.key} on ${copy.store}` : ''}`).join(', ')}`,
    )
  const isOlder = back && newest && newest.time > back.time && newest.version !== back.version
  if (isOlder && prefer === 'order' && !fellThrough && !newer)
    throw violation(
      world,
      `the plan does not say that ${newest.store} has a newer copy of ${item}: ${newest.key}`,
    )
}
