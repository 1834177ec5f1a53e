import { rm, statfs } from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import type { BucketName, Source } from '../inventory.ts'
import { items } from '../inventory.ts'
import { messageOf } from '../message.ts'
import { captureOf } from '../plan.ts'
import type { Offer } from '../restore-order.ts'
import { severalConnections } from '../stores/store.ts'
import { BadArchive, CannotUnpack } from './bad-archive.ts'
import { bytes, latin1, printable, utf8 } from './bytes.ts'
import { headsOf } from './heads.ts'
import { strangeMembers, withoutRights } from './inspect.ts'
import { baseOf, depthOf } from './mapping.ts'
import { isBack, lookOf, takeNote } from './notes.ts'
import type { PlannedItem } from './plan.ts'
import { putInPlace } from './put-in-place.ts'
import type { ItemOutcome } from './report.ts'
import { plannedItem, type Site, sourceNamed } from './site.ts'
import { withStaging } from './staging.ts'
import { unpack } from './unpack.ts'

export interface BringBackOptions {
  /**
   * Called when a whole copy lies ready, before the first file is changed: to stop what uses the files. `unpacked` tells where a file lies until then, by its path
   * from `/`. That throws BadArchive when what is in the copy is of no use.
   */
  before?(unpacked: (file: string) => string): Promise<void>
  /** For an item that may also come from a git repository: puts what it holds below `tree`, as an archive of the item would. */
  fromRepository?(tree: string): Promise<void>
}

/**
 * Brings the files of an item back from the best copy that turns out to be good, and notes in `site.outcomes` what came of it. Throws when none is,
 * or when this machine cannot take it. Returns false when it was all there already.
 */
export async function bringBack(site: Site, name: string, options: BringBackOptions = {}): Promise<boolean> {
  const planned = plannedItem(site, name)
  if (planned === undefined) return false
  const sources = sourcesOf(site, name)
  return fromBestCopy(site, planned, (offer) =>
    withStaging(site.root, sources, async (tree) => {
      const { base, ...copy } = await lay(site, name, offer, sources, tree, options)
      const left = await leaveOut(site, name, tree, base)
      await options.before?.((file) => path.join(tree, path.posix.relative(`/${base}`, file)))
      const { changed, aside, stayed } = await putInPlace({
        staged: tree,
        base,
        root: site.root,
        sources,
        aside: site.aside,
      })
      for (const file of stayed)
        site.watch.note(
          `${name}: ${printable(file)} stays as it is: it says who may log in by ssh, and here and in the archive are not both plain files; compare them by hand`,
        )
      await takeNote(site, name, { key: offer.key, sha256: copy.sha256 ?? '' }, lookOf(site, sources))
      return {
        status: changed > 0 ? 'restored' : 'unchanged',
        ...copyOf(offer),
        ...copy,
        ...(base === '' ? {} : { base }),
        ...(left.length > 0 ? { left } : {}),
        ...(aside.length > 0 ? { aside } : {}),
      }
    }),
  )
}

/**
 * What no backup should hold makes the copy a bad one; of files that the users write to it is taken out of the tree, and told. Returns the paths of what was taken
 * out, below the tree.
 */
async function leaveOut(site: Site, name: string, tree: string, base: string): Promise<string[]> {
  const strange = await strangeMembers(tree, base)
  if (!isUsersOwn(name)) {
    if (strange[0] !== undefined) throw new BadArchive(`it holds ${strange[0].what}`)
    return []
  }
  for (const { path: member, what } of strange) {
    await rm(bytes(`${latin1(tree)}/${member}`))
    site.watch.note(`${name}: left out is ${what}`)
  }
  await withoutRights(tree)
  return strange.map(({ path: member }) => utf8(member))
}

function isUsersOwn(name: string): boolean {
  return items.some((item) => item.name === name && item.usersOwn === true)
}

/** Whether an item is back from the copy that would be taken, as the note of an earlier run says; then that is its outcome. */
export async function isBackAlready(site: Site, name: string): Promise<boolean> {
  const offer = plannedItem(site, name)?.candidates[0]
  if (offer === undefined || !(await isBack(site, name, offer, lookOf(site, sourcesOf(site, name)))))
    return false
  site.outcomes.set(name, { item: name, status: 'unchanged', ...copyOf(offer) })
  return true
}

/** Renews an item's note after its files were changed on purpose, as by the tool that they configure. */
export async function noteAgain(site: Site, name: string): Promise<void> {
  const { key, sha256 } = site.outcomes.get(name) ?? {}
  if (key !== undefined && sha256 !== undefined)
    await takeNote(site, name, { key, sha256 }, lookOf(site, sourcesOf(site, name)))
}

/**
 * Tries the candidates of an item in their order until `restore` takes one, and notes what came of it. BadArchive, and a source that fails, lead to the next one.
 */
export async function fromBestCopy(
  site: Site,
  planned: PlannedItem,
  restore: (offer: Offer) => Promise<Omit<ItemOutcome, 'item'>>,
): Promise<boolean> {
  const { item } = planned
  const passed = planned.passed.map(({ offer, reason }) => ({ source: offer.source, key: offer.key, reason }))
  const told = () => (passed.length > 0 ? { passed } : {})
  if (planned.leftOut !== undefined) {
    site.outcomes.set(item, { item, status: 'skipped', reason: planned.leftOut, ...told() })
    return false
  }
  try {
    if (planned.missing !== undefined) throw new Error(planned.missing)
    for (const offer of planned.candidates) {
      try {
        const outcome: ItemOutcome = { item, ...(await restore(offer)), ...told() }
        site.outcomes.set(item, outcome)
        return outcome.status !== 'unchanged'
      } catch (error) {
        if (!(error instanceof BadArchive)) throw error
        passed.push({ source: offer.source, key: offer.key, reason: messageOf(error) })
        site.watch.note(`${item}: ${offer.key} in ${offer.source} is passed over: ${messageOf(error)}`)
      }
    }
    const last = passed.at(-1)
    throw new Error(
      `none of ${passed.length} copies is good; the last, ${last?.key} in ${last?.source}: ${last?.reason}`,
    )
  } catch (error) {
    site.outcomes.set(item, { item, status: 'failed', reason: messageOf(error), ...told() })
    throw error
  }
}

/** What an outcome says of the copy that it came from. */
export function copyOf({ source, key, kind, time, bytes, record }: Offer): Partial<ItemOutcome> {
  return {
    source,
    key,
    ...(time && kind !== 'repository' ? { time: time.toISOString() } : {}),
    ...(bytes === undefined ? {} : { bytes }),
    ...(record ? { sha256: record.sha256 } : {}),
    verified: record !== undefined,
  }
}

/** The sources of an item with the settings' paths filled in. */
function sourcesOf({ settings }: Site, name: string): readonly Source[] {
  const item = items.find((one) => one.name === name)
  const capture = item && captureOf(item, settings)
  if (capture?.kind !== 'files') throw new Error(`${name} has no files of its own`)
  return capture.sources
}

/** Puts what a copy holds below `tree`; returns the folder from which it counts, and what is known of it now. */
async function lay(
  site: Site,
  item: string,
  offer: Offer,
  sources: readonly Source[],
  tree: string,
  { fromRepository }: BringBackOptions,
): Promise<{ base: string; bytes?: number; sha256?: string }> {
  if (offer.kind === 'repository') {
    await fromRepository?.(tree)
    return { base: '' }
  }
  await checkRoom(tree, offer)
  site.watch.total(offer.bytes ?? 0)
  const { sha256, bytes: size } = await unpack(await openOffer(site, item, offer), tree, {
    mustHave: sources.flatMap(({ mustHave }) => mustHave ?? []),
    attributes: isUsersOwn(item) || process.getuid?.() !== 0 ? 'user.*' : '*',
    onBytes: (count) => site.watch.bytes(count),
    ...(offer.record ? { record: offer.record } : {}),
  })
  const heads = await headsOf(tree, depthOf(sources))
  const base = baseOf(sources, heads)
  if (base !== undefined) return { base, bytes: size, sha256 }
  const strange = heads.find((head) => baseOf(sources, [head]) === undefined)
  const places = sources.map(({ path, match }) => (match ? `${path}/${match}` : path)).join(', ')
  throw new BadArchive(
    `it holds ${printable(strange ?? (heads[0] as string))}, which is no part of ${item} here (${places})`,
  )
}

/** The content of a copy, from its start. Throws BadArchive when it cannot be had. */
export async function openOffer(site: Site, item: string, { source, key }: Offer): Promise<Readable> {
  const bucket = items.find(({ name }) => name === item)?.bucket as BucketName
  try {
    return await sourceNamed(site, source).store(bucket).open(key, 0, severalConnections)
  } catch (error) {
    throw new BadArchive(`it cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

/** An archive never unpacks to less than itself. */
async function checkRoom(folder: string, { bytes = 0 }: Offer): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize < bytes)
    throw new CannotUnpack(
      `no room below ${folder}: ${bavail * bsize} bytes are free, the archive alone has ${bytes}`,
    )
}
