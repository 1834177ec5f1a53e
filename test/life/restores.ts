import type { BucketName, RestoreSource, StoreName } from '../../lib/inventory.ts'
import { BadArchive, holdTail } from '../../lib/restore/files/unpack.ts'
import { offersOf } from '../../lib/restore/plan/offers.ts'
import { makeRestorePlan } from '../../lib/restore/plan/plan.ts'
import type { PlannedItem } from '../../lib/restore/plan/planned.ts'
import { type RestoreRequest, readAt, selectForRestore } from '../../lib/restore/plan/request.ts'
import type { ArchiveSource, Reason } from '../../lib/restore/plan/sources.ts'
import type { Offer } from '../../lib/restore-order.ts'
import type { Stock, TrueCopy } from './stock.ts'
import { readToken } from './token.ts'
import { archived, startProcess, storeIn, violation, type World } from './world.ts'

/** What a restore brought back of one item. */
export interface Restored {
  item: string
  source: RestoreSource
  version: number
  /** The record's time. */
  time: number
  /** How many better copies turned out to be bad. */
  bad: number
}

export interface Wish {
  /** As --at takes it; absent: now. */
  at?: string
  prefer: 'order' | 'newest'
  /** It runs on Mello, or Mello's copies were brought along by scp. */
  withMello: boolean
}

/**
 * Restores archive items with the real order, plan and holdTail, reading copies until one fits its record.
 * Checks the result against what is really in the stores. Throws a violation.
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
  const unreachable = new Map<RestoreSource, Map<BucketName, Reason>>()
  const offers = new Map<string, Offer[]>()
  for (const { item, sources: own } of selected) {
    const found: Offer[] = []
    for (const source of sources.filter(({ name }) => own.includes(name)))
      found.push(...(await offersOf(source, item, world.settings.environment, at && at < now ? at : now)))
    offers.set(item.name, found)
  }
  const plan = makeRestorePlan(selected, request, { offers, unreachable }, world.settings, '/', now)
  const limit = Math.min(world.now, at?.getTime() ?? world.now)
  const restored: Restored[] = []
  for (const planned of plan.items) {
    const back = await bringBack(planned, sources)
    judge(world, stock, planned, back, limit, wish, sources)
    if (back) restored.push(back)
  }
  return restored
}

/** The sources that a new instance can reach. */
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
      whyUnreachable: async () => undefined,
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
  const folder = offer.key.slice(0, offer.key.lastIndexOf('/') + 1)
  const chain = (offer.links ?? [])
    .slice(0, -1)
    .filter(({ archive }) => !offer.borrowed?.some((one) => one.archive === archive))
  let content = Buffer.alloc(0)
  for (const [key, record] of [
    ...chain.map((link) => [folder + link.archive, link] as const),
    [offer.key, offer.record] as const,
  ]) {
    const chunks: Buffer[] = []
    for await (const chunk of holdTail(await store.open(key), record, { bytes: 0, sha256: '' }))
      chunks.push(chunk)
    content = Buffer.concat(chunks)
  }
  return content
}

/** The promise: the newest good copy by then in the first source with one; `newest`: across all sources. */
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
  // If a source's best copy is bad, the restore tries the next source's best before this source's second.
  const fellThrough = (back?.bad ?? 0) > 0 || passed.some(({ instead }) => instead)
  // If a chain has lost a link, another store may have it; other tests say which store then serves.
  const lost = stock.hasLostLink(item, order as StoreName[])
  const isTrue = order.some((source) =>
    stock
      .copiesOf(item, source as StoreName)
      .some((copy) => copy.version === back?.version && copy.time === back?.time),
  )
  if (lost && isTrue) return
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
