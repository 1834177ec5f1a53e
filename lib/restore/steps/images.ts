import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { fanOut } from '../../fan-out.ts'
import { systemEnvironment } from '../../hosts/environment.ts'
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
import { gate } from '../gate.ts'
import { isBack, takeNote } from '../notes.ts'
import type { PlannedItem } from '../plan.ts'
import type { ItemOutcome } from '../report.ts'
import { plannedItem, type Site } from '../site.ts'
import { Skip, type Step } from '../step.ts'
import { has, sh } from '../system.ts'

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
      const engine = await engineOf(site)
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
      const engine = site.drill ? undefined : await engineOf(site)
      if (!site.drill && engine === undefined)
        throw new Error(
          'there is neither docker nor podman to load it into: install one, then run this again',
        )
      const changed = await fromBestCopy(site, planned, async (offer) => {
        site.watch.total(offer.bytes ?? 0)
        return engine === undefined ? readOnly(site, item, offer) : load(site, item, offer, engine)
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

async function engineOf({ settings }: Site): Promise<string | undefined> {
  for (const engine of settings.containerEngine ? [settings.containerEngine] : ['docker', 'podman'])
    if (await has(engine)) return engine
  return undefined
}

/** The ids under some tags, as one text; undefined when one of them is not there. */
async function idsOf(engine: string, tags: readonly string[]): Promise<string | undefined> {
  const ids: string[] = []
  for (const tag of tags) {
    const { exitCode, stdout } = await sh`${engine} image inspect --format '{{.Id}}' ${tag}`
    if (exitCode !== 0) return undefined
    ids.push(stdout.trim())
  }
  return ids.join(' ')
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
): Promise<Omit<ItemOutcome, 'item'>> {
  const seen = { bytes: 0, sha256: '' }
  const body = Readable.from(gate(await openOffer(site, item, offer), offer.record, seen, site.watch.bytes), {
    objectMode: false,
  })
  const caching = mayCache(site, offer)
  const bodies = fanOut(body, [() => {}, ...(caching ? [() => {}] : [])])
  const [loaded, cached] = await Promise.allSettled([
    intoEngine(engine, bodies[0] as Readable),
    caching ? intoCache(site, item, offer, bodies[1] as Readable) : undefined,
  ])
  if (body.errored) throw body.errored
  if (loaded.status === 'rejected') throw loaded.reason
  if (cached.status === 'rejected' && !(cached.reason instanceof KeyExists))
    site.watch.note(
      `${item}: it is loaded, but could not be laid into the SFS cache: ${messageOf(cached.reason)}`,
    )
  const tags = tagsOf(offer)
  if (tags.length > 0) {
    const ids = await idsOf(engine, tags)
    if (ids === undefined) throw new BadArchive(`${engine} loaded it, but has no ${tags.join(', ')} now`)
    await takeNote(site, item, { key: offer.key, sha256: seen.sha256 }, async () => ids)
  }
  return { status: 'restored', ...copyOf(offer), ...seen }
}

async function intoEngine(engine: string, body: Readable): Promise<void> {
  const child = spawn(engine, ['load'], { env: systemEnvironment(), stdio: ['pipe', 'pipe', 'pipe'] })
  const closed = once(child, 'close')
  const said = Promise.all([text(child.stdout), text(child.stderr)])
  const fed = await pipeline(body, child.stdin).then(
    () => undefined,
    (error: Error) => error,
  )
  // Without the end of its input it must not take it for whole.
  if (fed !== undefined && (fed as NodeJS.ErrnoException).code !== 'EPIPE') child.kill('SIGKILL')
  const [code] = await closed
  const [out, complaint] = await said
  if (code === 0 && fed === undefined) return
  throw new BadArchive(
    `${engine} load: ${(complaint || out).trim().split('\n').at(-1) || fed?.message || `exit ${code}`}`,
  )
}

function mayCache(site: Site, { source, record }: Offer): boolean {
  return (
    record !== undefined &&
    source !== 'sfs' &&
    site.sources.some(({ name }) => name === 'sfs') &&
    awayFrom(site.away, 'sfs', 'containers') === undefined
  )
}

async function intoCache(site: Site, item: string, offer: Offer, body: Readable): Promise<void> {
  const { settings } = site
  const entry = items.find(({ name }) => name === item) as (typeof items)[number]
  const key = folderOf(entry, settings.environment) + path.posix.basename(offer.key)
  const record = offer.record
  if (record === undefined) return
  await openSfs(settings).createPair(key, body, () => makeRecord(record))
}
