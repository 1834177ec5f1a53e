import { mkdir, rm, statfs } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { captureOf } from '../../backup/plan.ts'
import { readList, UnfitList } from '../../capture/list.ts'
import { type Link, listName } from '../../chain.ts'
import { type BucketName, type Item, items, type RestoreSource, type Source } from '../../inventory.ts'
import type { ArchiveRecord } from '../../record.ts'
import type { Offer } from '../../restore-order.ts'
import { pool } from '../../stores/pool.ts'
import { severalConnections } from '../../stores/store.ts'
import { bytesInWords, messageOf, printable, someOf } from '../../text.ts'
import { type RestoreContext, sourceNamed } from '../context.ts'
import { locate } from '../plan/chains.ts'
import { isUnreachable } from '../plan/sources.ts'
import type { ItemOutcome } from '../report.ts'
import { layOver, type State, settle, type Unlike } from './lay-over.ts'
import { baseOf, depthOf } from './mapping.ts'
import { latin1, utf8 } from './paths.ts'
import { topPathsOf } from './tree.ts'
import {
  BadArchive,
  CannotUnpack,
  foldersAbove,
  type Unpacked,
  type UnpackOptions,
  unpack,
} from './unpack.ts'

/** A copy in a folder: the members that could not be made, and the links that were bad in one place. */
export interface Laid extends Partial<Unpacked> {
  unfit: Unpacked['unfit']
  /** The folder that its paths are relative to. */
  base: string
  lacking: string[]
  passed: NonNullable<ItemOutcome['passed']>
}

/**
 * Unpacks a copy into `tree`, an empty folder: an archive, or an increment with all that it builds on. Throws
 * BadArchive. `bad`: why a digest is good nowhere, shared by all candidates of the item.
 */
export async function layCopy(
  context: RestoreContext,
  item: string,
  offer: Offer,
  tree: string,
  bad = new Map<string, string>(),
): Promise<Laid> {
  const sources = sourcesOf(context, item)
  const links = offer.links ?? [{ bytes: offer.bytes ?? 0 }]
  await checkRoom(tree, Math.max(...links.map(({ bytes }) => bytes)))
  context.watch.total(links.reduce((sum, { bytes }) => sum + bytes, 0))
  const options = {
    only: context.request.path,
    attributes: isUsersOwn(item) || process.getuid?.() !== 0 ? ('user.*' as const) : ('*' as const),
    onBytes: (count: number) => context.watch.bytes(count),
  }
  const passed: Laid['passed'] = []
  let lacking: string[] = []
  let seen: Unpacked
  if (offer.links === undefined) {
    const record = offer.record ? { record: offer.record } : {}
    seen = await unpack(await openOffer(context, item, offer), tree, { ...options, ...record })
  } else {
    const chain = { ...offer, links: offer.links }
    const {
      lacking: without,
      stale,
      ...unpacked
    } = await layChain(context, item, chain, tree, options, {
      passed,
      bad,
    })
    seen = unpacked
    lacking = [...without, ...stale].map(utf8)
  }
  if (lacking.length > 0)
    context.watch.note(
      `${item}: ${lacking.length} files of ${offer.key} are in none of its archives as its list describes them: ${someOf(lacking.map(printable))}`,
    )
  return { ...seen, base: await baseIn(tree, item, sources), lacking, passed }
}

/** Throws BadArchive for a tree with anything that is no part of the item. */
async function baseIn(tree: string, item: string, sources: readonly Source[]): Promise<string> {
  const topPaths = await topPathsOf(tree, depthOf(sources))
  const base = baseOf(sources, topPaths)
  if (base !== undefined) return base
  const strange = topPaths.find((one) => baseOf(sources, [one]) === undefined)
  const places = sources.map(({ path, match }) => (match ? `${path}/${match}` : path)).join(', ')
  throw new BadArchive(
    `it holds ${printable(strange ?? (topPaths[0] as string))}, which does not belong to ${item} here (${places})`,
  )
}

/** An archive never unpacks to less than its own size. */
async function checkRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize < bytes)
    throw new CannotUnpack(
      `not enough space below ${folder}: ${bytesInWords(bavail * bsize)} free, the archive alone has ${bytesInWords(bytes)}`,
    )
}

/** An item's sources, with the paths from the settings. */
export function sourcesOf({ settings }: RestoreContext, name: string): readonly Source[] {
  const item = items.find((one) => one.name === name)
  const capture = item && captureOf(item, settings)
  if (capture?.kind !== 'files') throw new Error(`${name} has no files of its own`)
  return capture.sources
}

export function isUsersOwn(name: string): boolean {
  return items.some((item) => item.name === name && item.usersOwn === true)
}

/** Reads a copy from its start. Throws BadArchive when it cannot be read. */
export async function openOffer(
  context: RestoreContext,
  item: string,
  { source, key }: Pick<Offer, 'source' | 'key'>,
): Promise<Readable> {
  const bucket = items.find(({ name }) => name === item)?.bucket as BucketName
  try {
    return await sourceNamed(context, source).store(bucket).open(key, 0, severalConnections)
  } catch (error) {
    throw new BadArchive(`it cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

/** The whole archive that a copy starts from: the copy itself, unless it is an increment. */
export function wholeOf({ source, key, links }: Offer): Pick<Offer, 'source' | 'key'> {
  return { source, key: links ? folderOfKey(key) + links[0]?.archive : key }
}

function folderOfKey(key: string): string {
  return key.slice(0, key.lastIndexOf('/') + 1)
}

interface Place {
  source: RestoreSource
  key: string
  record?: ArchiveRecord | undefined
}

/** Where an archive with these exact bytes is: in the offer's own source first. */
async function* placesOf(
  context: RestoreContext,
  item: string,
  { source, key, record }: Offer,
  link: Link,
): AsyncGenerator<Place> {
  const one = items.find(({ name }) => name === item) as Item
  const own = {
    source,
    key: folderOfKey(key) + link.archive,
    record: link.sha256 === record?.sha256 ? record : undefined,
  }
  yield own
  const reachable = context.sources.filter(
    ({ name }) => !isUnreachable(context.unreachable, name, one.bucket as BucketName),
  )
  for await (const found of locate(reachable, one, context.settings.environment, link))
    if (found.source !== source || found.key !== own.key) yield found
}

/**
 * Builds in `tree` the item as it was at an increment: unpacks each archive, moves it over the earlier ones and
 * removes what the last list lacks. Throws BadArchive if a link is good nowhere.
 */
async function layChain(
  context: RestoreContext,
  item: string,
  offer: Offer & { links: readonly Link[] },
  tree: string,
  options: UnpackOptions,
  { passed, bad }: { passed: Laid['passed']; bad: Map<string, string> },
): Promise<Unpacked & Unlike> {
  const { links } = offer
  const known = links.find(({ sha256 }) => bad.has(sha256))
  if (known !== undefined) throw new BadArchive(`it builds on ${known.archive}: ${bad.get(known.sha256)}`)
  const last = links.at(-1) as Link
  const state = await stateOf(context, item, placesOf(context, item, offer, last))
  const unfit: Unpacked['unfit'] = []
  let bytes = 0

  async function unpackLink(link: Link, into: string): Promise<void> {
    let reason = 'no store has it'
    for await (const place of placesOf(context, item, offer, link)) {
      await rm(into, { recursive: true, force: true })
      await mkdir(into, { mode: 0o700 })
      try {
        const body = await openOffer(context, item, place)
        const seen = await unpack(body, into, { ...options, record: link, part: true })
        for (const one of seen.unfit) unfit.push(one)
        bytes += seen.bytes
        return
      } catch (error) {
        if (!(error instanceof BadArchive)) throw error
        reason = error.message
        passed.push({ source: place.source, key: place.key, reason })
      }
    }
    bad.set(link.sha256, reason)
    throw new BadArchive(link === last ? reason : `it builds on ${link.archive}: ${reason}`)
  }

  const folderOf = (index: number) => (index === 0 ? tree : `${tree}.${index}`)
  async function lay(link: Link, index: number, before: Promise<void>): Promise<void> {
    const folder = folderOf(index)
    await unpackLink(link, folder)
    await before
    if (index === 0) return
    await layOver(latin1(folder), latin1(tree), state)
    await rm(folder, { recursive: true, force: true })
  }

  const jobs = pool(atOnce)
  let laid = Promise.resolve()
  try {
    for (const [index, link] of links.entries())
      await jobs.add(() => {
        laid = lay(link, index, laid)
        return laid
      })
    await jobs.done()
  } catch (error) {
    await jobs.cancel(error)
    for (const index of links.keys())
      if (index > 0) await rm(folderOf(index), { recursive: true, force: true })
    throw error
  }
  const above = options.only === undefined ? [] : foldersAbove(options.only).map(latin1)
  const { lacking, stale, isEmpty } = await settle(latin1(tree), state, above)
  if (isEmpty && options.only !== undefined) throw new CannotUnpack(`nothing in it matches ${options.only}`)
  return { bytes, sha256: last.sha256, unfit, stale, lacking: options.only === undefined ? lacking : [] }
}

/** Archives of a chain that are unpacked at once: for a small one, starting the programs takes longest. */
const atOnce = 4

/** Reads an archive's list from the first place where it matches its record. */
async function stateOf(context: RestoreContext, item: string, places: AsyncIterable<Place>): Promise<State> {
  let reason = 'its record names none'
  for await (const { source, key, record } of places) {
    if (record?.list === undefined) continue
    const state: State = new Map()
    try {
      const list = await openOffer(context, item, { source, key: listName(key) })
      await readList(list, { item, ...record, list: record.list }, (entry) => state.set(entry.path, entry))
      return state
    } catch (error) {
      if (!(error instanceof UnfitList || error instanceof BadArchive)) throw error
      reason = error.message
    }
  }
  throw new BadArchive(`its list is unavailable: ${reason}`)
}
