import { constants, lstat, open, rm } from 'node:fs/promises'
import path from 'node:path'
import {
  keystonesOf,
  mustHaveOf,
  type UnfitKind,
  warningText,
  whyWorthless,
  whyWorthlessText,
} from '../../acceptance.ts'
import type { Source } from '../../inventory.ts'
import type { Offer } from '../../restore-order.ts'
import { messageOf, printable } from '../../text.ts'
import { type Done, plannedItem, type RestoreContext, Skip } from '../context.ts'
import { isBack, lookOf, rememberRestored } from '../marker.ts'
import type { ItemOutcome } from '../report.ts'
import { isUsersOwn, type Laid, layCopy, sourcesOf } from './copy.ts'
import { putInPlace } from './put-in-place.ts'
import { withStaging } from './staging.ts'
import { isFilled, takeOutUnfit, withoutRights } from './tree.ts'
import { BadArchive } from './unpack.ts'

export interface BringBackOptions {
  /** Called when a good copy is unpacked, before any file changes: stops what uses the files. */
  before?(): Promise<void>
  /** Paths from `/` that must not come back from this copy. Only they are left out, and each is reported. */
  without?(copy: Offer): readonly string[]
  /** For an item that can also come from git: puts its files below `tree`, as its archive would. */
  fromRepository?(tree: string): Promise<void>
}

/**
 * Brings an item's files back from its best good copy and sets its entry in `context.outcomes`. Throws when
 * no copy is good, or when this machine cannot take it; Skip when it is left out on purpose.
 */
export async function bringBack(
  context: RestoreContext,
  name: string,
  options: BringBackOptions = {},
): Promise<Done> {
  const sources = sourcesOf(context, name)
  const single = context.request.path !== undefined
  const bad = new Map<string, string>()
  const changed = await fromBestCopy(context, name, (offer) =>
    withStaging(context.root, sources, async (tree) => {
      if (offer.kind === 'repository') await options.fromRepository?.(tree)
      const { base, unfit, lacking, passed, ...copy } =
        offer.kind === 'repository' ? asCloned : await layCopy(context, name, offer, tree, bad)
      const place = (file: string) => path.join(tree, path.posix.relative(`/${base}`, file))
      const left: Left[] = [...unfit, ...(await takeOutUnfit(tree, base))]
      for (const file of options.without?.(offer) ?? []) {
        if ((await lstat(place(file)).catch(() => undefined)) === undefined) continue
        await rm(place(file))
        left.push({ path: path.relative(tree, place(file)), kind: 'of another environment' })
      }
      const stripped = isUsersOwn(name) ? await withoutRights(tree) : []
      // A clone has what git keeps: the toolkit's lacks the Node runtime, which its archive must have.
      const required = offer.kind === 'repository' ? [] : mustHaveOf(sources)
      if (!single) await mustBeWorth(sources, required, tree, place)
      tellLeftOut(context, name, left)
      await options.before?.()
      const { changed, aside, stayed } = await putInPlace({
        staged: tree,
        base,
        root: context.root,
        sources,
        single,
        aside: context.aside,
      })
      for (const file of stayed)
        context.watch.note(
          `${name}: ${printable(file)} is left alone: it says who may log in by ssh, and it is not a plain file both here and in the archive; compare them by hand`,
        )
      if (!single)
        await rememberRestored(
          context,
          name,
          { key: offer.key, sha256: copy.sha256 ?? '' },
          lookOf(context, sources),
        )
      return {
        status: changed > 0 ? 'restored' : 'unchanged',
        ...copyOf(offer),
        ...copy,
        base: base === '' ? undefined : base,
        links: offer.links?.length,
        ...(left.length > 0 ? { left: left.map((one) => one.path) } : {}),
        ...(stripped.length > 0 ? { stripped } : {}),
        ...(lacking.length > 0 ? { lacking: lacking.slice(0, mostNamed) } : {}),
        ...(passed.length > 0 ? { passed } : {}),
        ...(aside.length > 0 ? { aside } : {}),
      }
    }),
  )
  return { said: saidOf(context, name), changed }
}

const asCloned: Laid = { base: '', unfit: [], lacking: [], passed: [] }

/** A report names at most this many paths that differ from the list. */
const mostNamed = 1000

/** A member that does not come back; its path is below the tree. */
interface Left {
  path: string
  kind: UnfitKind | 'of another environment'
}

function tellLeftOut(context: RestoreContext, name: string, left: readonly Left[]): void {
  for (const { path: member, kind } of left.slice(0, 5))
    context.watch.note(
      kind === 'of another environment'
        ? `${name}: ${printable(member)} belongs to another environment and is left out`
        : `${name}: ${warningText({ kind, path: member })}`,
    )
  if (left.length > 5) context.watch.note(`${name}: ${left.length - 5} more are left out`)
}

/** Throws BadArchive for a tree that is no backup of the item, by the rules a capture uses (law 11). */
async function mustBeWorth(
  sources: readonly Source[],
  required: readonly string[],
  tree: string,
  place: (file: string) => string,
): Promise<void> {
  const lacking: string[] = []
  for (const pattern of required) if (!(await isFilled(tree, pattern))) lacking.push(pattern)
  const flaw = whyWorthless({ files: Number(await isFilled(tree)), lacking })
  if (flaw !== undefined) throw new BadArchive(flaw)
  for (const keystone of keystonesOf(sources)) {
    const text = await readOwn(place(keystone.file))
    const flaw = text === undefined ? undefined : whyWorthlessText(keystone, text)
    if (flaw !== undefined) throw new BadArchive(flaw)
  }
}

/** Undefined when the file is missing or a link. */
async function readOwn(file: string): Promise<string | undefined> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined)
  return handle?.readFile('utf8').finally(() => handle.close())
}

/** Sets the outcome of an item that an earlier run restored from its best copy, and says so. */
export async function isBackAlready(context: RestoreContext, name: string): Promise<string | undefined> {
  const offer = plannedItem(context, name)?.candidates[0]
  if (offer === undefined || !(await isBack(context, name, offer, lookOf(context, sourcesOf(context, name)))))
    return undefined
  context.outcomes.set(name, { item: name, status: 'unchanged', ...copyOf(offer) })
  return saidOf(context, name)
}

/** Where the item came from, in words. */
function saidOf(context: RestoreContext, item: string): string {
  const { status, source, key, time, aside } = context.outcomes.get(item) ?? {}
  const from = `${source}: ${key}${time ? ` of ${time.slice(0, 16)}Z` : ''}`
  if (status === 'unchanged') return `there already, as in ${from}`
  return `from ${from}${aside ? `; ${aside.length} put aside` : ''}`
}

/** Updates an item's saved state after its files were changed on purpose, for example by ufw. */
export async function rememberAgain(context: RestoreContext, name: string): Promise<void> {
  const { key, sha256 } = context.outcomes.get(name) ?? {}
  if (key !== undefined && sha256 !== undefined)
    await rememberRestored(context, name, { key, sha256 }, lookOf(context, sourcesOf(context, name)))
}

/**
 * Tries an item's candidates in order and sets its outcome: BadArchive leads to the next one. Returns whether
 * anything changed, false without a plan for it. Throws Skip when nothing was to be done.
 */
export async function fromBestCopy(
  context: RestoreContext,
  item: string,
  restore: (offer: Offer) => Promise<Omit<ItemOutcome, 'item'>>,
): Promise<boolean> {
  const planned = plannedItem(context, item)
  if (planned === undefined) return false
  const passed = planned.passed.map(({ offer, reason }) => ({ source: offer.source, key: offer.key, reason }))
  const told = () => (passed.length > 0 ? { passed } : {})
  const end = (own: Omit<ItemOutcome, 'item'>) => context.outcomes.set(item, { item, ...own, ...told() })
  if (planned.leftOut !== undefined) {
    end({ status: 'skipped', reason: planned.leftOut })
    throw new Skip(planned.leftOut)
  }
  try {
    if (planned.missing !== undefined) throw new Error(planned.missing)
    for (const offer of planned.candidates) {
      try {
        const own = await restore(offer)
        passed.push(...(own.passed ?? []))
        end(own)
        if (own.status === 'skipped') throw new Skip(own.reason)
        return own.status !== 'unchanged'
      } catch (error) {
        if (!(error instanceof BadArchive)) throw error
        passed.push({ source: offer.source, key: offer.key, reason: messageOf(error) })
        context.watch.note(`${item}: ${offer.key} in ${offer.source} is skipped: ${messageOf(error)}`)
      }
    }
    const last = passed.at(-1)
    throw new Error(
      `none of ${passed.length} copies is good; the last, ${last?.key} in ${last?.source}: ${last?.reason}`,
    )
  } catch (error) {
    if (!(error instanceof Skip)) end({ status: 'failed', reason: messageOf(error) })
    throw error
  }
}

/** The part of an outcome that describes its copy. */
export function copyOf({ source, key, kind, time, bytes, record }: Offer): Partial<ItemOutcome> {
  return {
    source,
    key,
    time: kind === 'repository' ? undefined : time?.toISOString(),
    bytes,
    sha256: record?.sha256,
    verified: record !== undefined,
  }
}
