import path from 'node:path'
import { Readable } from 'node:stream'
import { fanOut } from '../../fan-out.ts'
import { items } from '../../inventory.ts'
import { messageOf } from '../../message.ts'
import { folderOf } from '../../plan.ts'
import { makeRecord } from '../../record.ts'
import type { Offer } from '../../restore-order.ts'
import { openSfs } from '../../stores/open.ts'
import { KeyExists } from '../../stores/store.ts'
import { awayFrom } from '../away.ts'
import { BadArchive } from '../bad-archive.ts'
import { copyOf, fromBestCopy, openOffer } from '../bring-back.ts'
import { engineOf, engineThatAnswers, idsOf, loadImage, tagImage } from '../engine.ts'
import { gate } from '../gate.ts'
import { isBack, takeNote } from '../notes.ts'
import type { PlannedItem } from '../plan.ts'
import type { ItemOutcome } from '../report.ts'
import { plannedItem, type Site } from '../site.ts'
import { Skip, type Step } from '../step.ts'

/** An image into the container engine. One that came from elsewhere is laid into the SFS cache on the way, where the next instance finds it. */
export function imageStep(site: Site, item: string): Step {
  const planned = plannedItem(site, item) as PlannedItem
  return {
    name: item,
    title: site.drill ? `${planned.title}, read and checked; a drill loads none` : `${planned.title}, loaded`,
    items: [item],
    async done() {
      const offer = planned.candidates[0]
      if (site.drill || offer === undefined) return undefined
      const engine = await engineOf(site.settings)
      const tags = tagsOf(offer)
      if (engine === undefined || tags.length === 0) return undefined
      const loaded = await idsOf(engine, tags)
      const [id] = offer.record?.fingerprint?.split(' ') ?? []
      const same = loaded?.split(' ').every((one) => one === id)
      if (same !== true && !(await isBack(site, item, offer, async () => loaded))) return undefined
      site.outcomes.set(item, { item, status: 'unchanged', ...copyOf(offer) })
      return `${tags.join(', ')} is loaded`
    },
    async do() {
      const engine = site.drill ? undefined : await engineThatAnswers(site.settings)
      // What is no good on the share gives way there too, or the next instance would come upon it again.
      const bad = new Set(planned.passed.flatMap(({ offer }) => (isFlawedOnShare(offer) ? [offer.key] : [])))
      const changed = await fromBestCopy(site, planned, async (offer) => {
        site.watch.total(offer.bytes ?? 0)
        try {
          return await (engine === undefined
            ? readOnly(site, item, offer)
            : load(site, item, offer, engine, bad))
        } catch (error) {
          if (error instanceof BadArchive && offer.source === 'sfs') bad.add(offer.key)
          throw error
        }
      })
      const outcome = site.outcomes.get(item)
      if (outcome?.status === 'skipped') throw new Skip(outcome.reason)
      return { said: `from ${outcome?.source}: ${outcome?.key}`, changed }
    },
  }
}

/** The reference of every tag that the image had when it was saved. */
function tagsOf({ record }: Offer): string[] {
  return record?.fingerprint?.split(' ').slice(1) ?? []
}

function isFlawedOnShare({ source, flaw }: Offer): boolean {
  return source === 'sfs' && flaw !== undefined
}

async function readOnly(site: Site, item: string, offer: Offer): Promise<Omit<ItemOutcome, 'item'>> {
  const seen = { bytes: 0, sha256: '' }
  for await (const _ of gate(await openOffer(site, item, offer), offer.record, seen, site.watch.bytes));
  return { status: 'skipped', reason: 'read and checked; a drill loads no image', ...copyOf(offer), ...seen }
}

/**
 * Reads the archive once, into the engine and the cache. The engine gets the end of the archive only when the digest was right, and takes nothing of an archive
 * without its end.
 */
async function load(
  site: Site,
  item: string,
  offer: Offer,
  engine: string,
  bad: ReadonlySet<string>,
): Promise<Omit<ItemOutcome, 'item'>> {
  const seen = { bytes: 0, sha256: '' }
  const body = Readable.from(gate(await openOffer(site, item, offer), offer.record, seen, site.watch.bytes), {
    objectMode: false,
  })
  const caching = mayCache(site, offer)
  const bodies = fanOut(body, [() => {}, ...(caching ? [() => {}] : [])])
  const [loaded, cached] = await Promise.allSettled([
    loadImage(engine, bodies[0] as Readable),
    caching ? intoCache(site, item, offer, bodies[1] as Readable, bad) : undefined,
  ])
  if (body.errored) throw body.errored
  if (loaded.status === 'rejected') throw loaded.reason
  if (cached.status === 'rejected' && !(cached.reason instanceof KeyExists))
    site.watch.note(
      `${item}: it is loaded, but could not be laid into the SFS cache: ${messageOf(cached.reason)}`,
    )
  const tags = tagsOf(offer)
  if (tags.length > 0) {
    // An archive holds the one reference that was saved.
    if (loaded.value !== undefined) await tagImage(engine, loaded.value, tags)
    const ids = await idsOf(engine, tags)
    if (ids === undefined) throw new BadArchive(`${engine} loaded it, but has no ${tags.join(', ')} now`)
    await takeNote(site, item, { key: offer.key, sha256: seen.sha256 }, async () => ids)
  }
  return { status: 'restored', ...copyOf(offer), ...seen }
}

function mayCache(site: Site, { source, record }: Offer): boolean {
  return (
    record !== undefined &&
    source !== 'sfs' &&
    site.sources.some(({ name }) => name === 'sfs') &&
    awayFrom(site.away, 'sfs', 'containers') === undefined
  )
}

async function intoCache(
  site: Site,
  item: string,
  offer: Offer,
  body: Readable,
  bad: ReadonlySet<string>,
): Promise<void> {
  const { settings } = site
  const entry = items.find(({ name }) => name === item) as (typeof items)[number]
  const key = folderOf(entry, settings.environment) + path.posix.basename(offer.key)
  const record = offer.record
  if (record === undefined) return
  const sfs = openSfs(settings)
  // This also clears away what a killed restore left.
  await sfs.probe(path.posix.dirname(key))
  await (bad.has(key) ? sfs.replace : sfs.createPair)(key, body, () => makeRecord(record))
}
