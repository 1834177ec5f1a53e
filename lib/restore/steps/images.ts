import path from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { tagsOfImage } from '../../acceptance.ts'
import { fanOut } from '../../backup/fan-out.ts'
import { folderOf } from '../../backup/plan.ts'
import { chooseDecompressor } from '../../capture/compressor.ts'
import { enginesOf, judgeImageArchive } from '../../capture/image.ts'
import { bash, type Child, type Ending, start, systemPath } from '../../hosts/process.ts'
import { has, must, sh } from '../../hosts/shell.ts'
import { items } from '../../inventory.ts'
import { makeRecord } from '../../record.ts'
import type { Offer } from '../../restore-order.ts'
import type { Settings } from '../../settings/settings.ts'
import { openSfs } from '../../stores/open.ts'
import { KeyExists } from '../../stores/store.ts'
import { messageOf, runAgain } from '../../text.ts'
import { plannedItem, type RestoreContext, type Step } from '../context.ts'
import { copyOf, fromBestCopy } from '../files/bring-back.ts'
import { openOffer } from '../files/copy.ts'
import { BadArchive, CannotUnpack, holdTail } from '../files/unpack.ts'
import { isBack, rememberRestored } from '../marker.ts'
import type { PlannedItem } from '../plan/planned.ts'
import { isUnreachable } from '../plan/sources.ts'
import type { ItemOutcome } from '../report.ts'

/** Loads an image into the container engine. If it came from elsewhere, also copies it to the SFS cache. */
export function imageStep(context: RestoreContext, item: string): Step {
  const planned = plannedItem(context, item) as PlannedItem
  return {
    name: item,
    title: context.drill
      ? `${planned.title}, read and checked; a drill loads none`
      : `${planned.title}, loaded`,
    items: [item],
    async done() {
      const offer = planned.candidates[0]
      if (context.drill || offer === undefined) return undefined
      const engine = await engineOf(context.settings)
      const tags = tagsOf(item, offer)
      if (engine === undefined || tags.length === 0) return undefined
      const loaded = await idsOf(engine, tags)
      const [id] = offer.record?.fingerprint?.split(' ') ?? []
      const same = loaded?.split(' ').every((one) => one === id)
      if (same !== true && !(await isBack(context, item, offer, async () => loaded))) return undefined
      context.outcomes.set(item, { item, status: 'unchanged', ...copyOf(offer) })
      return `${tags.join(', ')} is loaded`
    },
    async do() {
      const engine = context.drill ? undefined : await engineThatAnswers(context.settings)
      // Replace bad copies on the share too, or the next instance would find them again.
      const bad = new Set(planned.passed.flatMap(({ offer }) => (isFlawedOnShare(offer) ? [offer.key] : [])))
      const changed = await fromBestCopy(context, item, async (offer) => {
        context.watch.total(offer.bytes ?? 0)
        try {
          return await (engine === undefined
            ? readOnly(context, item, offer)
            : load(context, item, offer, engine, bad))
        } catch (error) {
          if (error instanceof BadArchive && offer.source === 'sfs') bad.add(offer.key)
          throw error
        }
      })
      const outcome = context.outcomes.get(item)
      return { said: `from ${outcome?.source}: ${outcome?.key}`, changed }
    },
  }
}

/** Opens a copy; `seen` is complete once the body was read to its end. */
async function bodyOf(context: RestoreContext, item: string, offer: Offer) {
  const seen = { bytes: 0, sha256: '' }
  const held = holdTail(await openOffer(context, item, offer), offer.record, seen, context.watch.bytes)
  return { seen, body: Readable.from(held, { objectMode: false }) }
}

/** The tags in the record, or `<item>:latest` if it has none. No tags without a record. */
function tagsOf(item: string, { record }: Offer): string[] {
  const tags = tagsOfImage(record?.fingerprint)
  return tags.length === 0 && record?.fingerprint ? [`${item}:latest`] : tags
}

function isFlawedOnShare({ source, flaw }: Offer): boolean {
  return source === 'sfs' && flaw !== undefined
}

async function readOnly(
  context: RestoreContext,
  item: string,
  offer: Offer,
): Promise<Omit<ItemOutcome, 'item'>> {
  const { body, seen } = await bodyOf(context, item, offer)
  const { flaw } = await judgeImageArchive(body)
  if (flaw !== undefined) throw new BadArchive(flaw)
  return { status: 'skipped', reason: 'read and checked; a drill loads no image', ...copyOf(offer), ...seen }
}

/** Reads the archive once, into engine and cache. The engine gets its end only if the digest is right. */
async function load(
  context: RestoreContext,
  item: string,
  offer: Offer,
  engine: string,
  bad: ReadonlySet<string>,
): Promise<Omit<ItemOutcome, 'item'>> {
  const { body, seen } = await bodyOf(context, item, offer)
  const caching = mayCache(context, offer)
  const bodies = fanOut(body, [() => {}, ...(caching ? [() => {}] : [])])
  const [loaded, cached] = await Promise.allSettled([
    loadImage(engine, bodies[0] as Readable),
    caching ? intoCache(context, item, offer, bodies[1] as Readable, bad) : undefined,
  ])
  if (body.errored) throw body.errored
  if (loaded.status === 'rejected') throw loaded.reason
  if (cached.status === 'rejected' && !(cached.reason instanceof KeyExists))
    context.watch.note(
      `${item}: it is loaded, but could not be copied into the SFS cache: ${messageOf(cached.reason)}`,
    )
  const tags = tagsOf(item, offer)
  // An older copy has no record with tags: without a name of its own, it gets the default one.
  if (tags.length === 0 && loaded.value?.startsWith('sha256:')) tags.push(`${item}:latest`)
  if (tags.length > 0) {
    // An archive holds only the reference that was saved.
    if (loaded.value !== undefined) await tagImage(engine, loaded.value, tags)
    const ids = await idsOf(engine, tags)
    if (ids === undefined) throw new BadArchive(`${engine} loaded it, but has no ${tags.join(', ')} now`)
    await rememberRestored(context, item, { key: offer.key, sha256: seen.sha256 }, async () => ids)
  }
  return { status: 'restored', ...copyOf(offer), ...seen }
}

function mayCache(context: RestoreContext, { source, record }: Offer): boolean {
  return (
    record !== undefined &&
    source !== 'sfs' &&
    context.sources.some(({ name }) => name === 'sfs') &&
    !isUnreachable(context.unreachable, 'sfs', 'containers')
  )
}

async function intoCache(
  context: RestoreContext,
  item: string,
  offer: Offer,
  body: Readable,
  bad: ReadonlySet<string>,
): Promise<void> {
  const { settings } = context
  const entry = items.find(({ name }) => name === item) as (typeof items)[number]
  const key = folderOf(entry, settings.environment) + path.posix.basename(offer.key)
  const record = offer.record
  if (record === undefined) return
  const sfs = openSfs(settings)
  // This also removes what a killed restore left.
  await sfs.probe(path.posix.dirname(key))
  await (bad.has(key) ? sfs.replace : sfs.createPair)(key, body, () => makeRecord(record))
}

/** This machine's container engine; undefined when there is none. */
export async function engineOf({ containerEngine }: Settings): Promise<string | undefined> {
  for (const engine of enginesOf(containerEngine)) if (await has(engine)) return engine
  return undefined
}

/** Throws with a remedy when there is no working engine, before any archive is read. */
async function engineThatAnswers(settings: Settings): Promise<string> {
  const { containerEngine } = settings
  const engine = await engineOf(settings)
  if (engine === undefined)
    throw new Error(
      containerEngine
        ? `CONTAINER_ENGINE is ${containerEngine}, but there is no such command to load it with: install it, or set the right one, then ${runAgain()}`
        : `there is neither docker nor podman to load it with: install one, then ${runAgain()}`,
    )
  // Some systems start docker at its first use alone: after a reboot, no container would come back.
  if (engine === 'docker') await sh`systemctl enable docker`
  const { exitCode, stderr } = await sh`timeout 60 ${engine} info`
  if (exitCode === 0) return engine
  throw new Error(
    `${engine} does not answer: ${stderr.trim().split('\n').at(-1) || 'not within a minute'}. See systemctl status docker, then ${runAgain()}`,
  )
}

/** Whether an image of the plan is in the engine under all its names. */
export async function isLoaded(engine: string, { item, candidates }: PlannedItem): Promise<boolean> {
  const [offer] = candidates
  if (offer === undefined) return false
  const tags = tagsOf(item, offer)
  return (await idsOf(engine, tags.length > 0 ? tags : [`${item}:latest`])) !== undefined
}

/** The ids of some tags, as one text; undefined when one is missing. */
async function idsOf(engine: string, tags: readonly string[]): Promise<string | undefined> {
  const ids: string[] = []
  for (const tag of tags) {
    const { exitCode, stdout } = await sh`${engine} image inspect --format '{{.Id}}' ${tag}`
    if (exitCode !== 0) return undefined
    ids.push(stdout.trim())
  }
  return ids.join(' ')
}

/** Tags an image, moving tags from other images if needed. */
async function tagImage(engine: string, image: string, tags: readonly string[]): Promise<void> {
  const id = await idsOf(engine, [image])
  for (const tag of tags)
    if (tag !== image && (await idsOf(engine, [tag])) !== id) await must(sh`${engine} tag ${image} ${tag}`)
}

/**
 * Loads a compressed archive into the engine, unpacked here because not every podman accepts compression. The
 * engine gets the end only of a sound archive. Returns the image's reference. Throws BadArchive.
 */
async function loadImage(engine: string, body: Readable): Promise<string | undefined> {
  const loading = await start([engine, 'load'], { env: { PATH: systemPath() } })
  const unpacking = await start(bash(unpackScript))
  const unpacked = endOf(unpacking)
  const answer = text(loading.stdout).catch(() => '')
  const loaded = endOf(loading)
  const [fed] = await Promise.allSettled([
    pipeline(body, unpacking.stdin),
    pipeline(unpacking.stdout, loading.stdin, { end: false }),
  ])
  const archive = await unpacked
  if (fed.status === 'fulfilled' && archive.code === 0) loading.stdin.end()
  // The engine ends by itself when it rejects something; otherwise it waits for more.
  else if (archive.signal === undefined) loading.kill()
  const { code, said } = await loaded
  if (code === 0) return /^Loaded image[^:]*: *([^\s,]+)/m.exec(await answer)?.[1]
  if (/no space left on device|disk quota exceeded/i.test(said))
    throw new CannotUnpack(
      `not enough space for the image: free some (${engine} system df), then ${runAgain()}`,
    )
  const broken = fed.status === 'rejected' ? messageOf(fed.reason) : `it cannot be unpacked: ${archive.said}`
  if (code !== undefined) throw new BadArchive(`${engine} load: ${said || `exit ${code}`}`)
  throw new BadArchive(archive.code === 0 ? `${engine} load was killed` : broken)
}

/** How a child ended, and its error output on one line. */
async function endOf({ ended, stderr }: Child): Promise<Ending & { said: string }> {
  const [ending, said] = await Promise.all([ended, text(stderr).catch(() => '')])
  return { ...ending, said: said.trim().replace(/\s+/g, ' ') }
}

const unpackScript = `
${chooseDecompressor}
exec "\${decompressor[@]}"
`
