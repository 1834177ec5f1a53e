import { setTimeout as sleep } from 'node:timers/promises'
import { listModels } from '../capture/models.ts'
import { knownCopy } from '../copies.ts'
import type { Host } from '../hosts/host.ts'
import { type CaptureKind, stores } from '../inventory.ts'
import { messageOf } from '../message.ts'
import { recordName } from '../naming.ts'
import { type Job, makePlan } from '../plan.ts'
import { selectItems } from '../select.ts'
import type { Settings } from '../settings.ts'
import { within } from '../within.ts'
import { type Contents, contentsOf } from './contents.ts'
import type { Expected } from './expected.ts'
import { type FolderPlace, lookAtFolder, NoSuchFolder, readTexts } from './folder.ts'
import type { SeenModels, SeenShelf } from './seen.ts'
import { blankShelf, type Look } from './shelves.ts'
import { folderBounds, wantedTexts } from './wanted.ts'

/** The SFS cache, on this machine or through Verda's ssh. `answers`: whether Verda does, whatever it says. */
export async function lookAtSfs(
  { settings, vantage, now }: Look,
  expected: readonly Expected[],
): Promise<{ shelf: SeenShelf; answers: boolean; source?: string }> {
  const title = stores.sfs.title
  const { cache, root, requireMount } = settings.sfs
  const place = { folder: cache, ...(requireMount ? { mount: root } : {}) }
  let answers = false
  try {
    await vantage.verda.run('true', [], { timeout: 60 })
    answers = true
    const { source, ...shelf } = await shelfOf('sfs', vantage.verda, place, settings, expected, now)
    return { shelf, answers, ...(source !== undefined && { source }) }
  } catch (error) {
    const never =
      error instanceof NoSuchFolder ? ': nothing was ever backed up there, or SFS_CACHE is wrong' : ''
    return { shelf: { ...blankShelf('sfs', title, now, messageOf(error) + never), answers }, answers }
  }
}

/** Mello's copies: only where this is Mello. */
export async function lookAtMello(
  { settings, vantage, wanted, now }: Look,
  expected: readonly Expected[],
): Promise<SeenShelf> {
  const title = stores.mello.title
  if (!wanted.has('mello')) return blankShelf('mello', title, now)
  try {
    const place = { folder: settings.melloBackups }
    const { source: _, ...shelf } = await shelfOf('mello', vantage.mello, place, settings, expected, now)
    return shelf
  } catch (error) {
    const problem =
      error instanceof NoSuchFolder
        ? `${messageOf(error)}. If this is Mello, nothing was ever backed up there: run tsx scripts/backup-verda.ts; else look from Mello`
        : messageOf(error)
    return blankShelf('mello', title, now, problem)
  }
}

/** The models that live on Verda, which R2 has to have as well. */
export async function lookAtModels(
  { settings, vantage, now }: Look,
  source: string | undefined,
): Promise<SeenModels> {
  const [job] = makePlan(
    'backup-verda',
    selectItems({ command: 'backup-verda', only: ['models'] }),
    settings,
    now,
  ).jobs
  const { path, folders, extension } = (job as Job).capture as CaptureKind & { kind: 'models' }
  const { sfs, roots } = settings
  const isShare = source !== undefined && (source === sfs.prod || source === sfs.clone)
  const where = isShare ? (source === sfs.prod ? 'PROD_SFS' : 'CLONE_SFS') : path
  const onShare = sfs.requireMount && roots.verda === '/' && path.startsWith(`${sfs.root}/`)
  const listing = listModels(vantage.verda, {
    path,
    folders,
    extension,
    ...(onShare ? { mount: sfs.root } : {}),
  })
  try {
    const { models } = await within(
      60,
      listing,
      () => new Error(`${path} did not answer within a minute: the share hangs`),
    )
    return { where, files: models }
  } catch (error) {
    return { where, files: [], problem: messageOf(error) }
  }
}

async function shelfOf(
  store: 'sfs' | 'mello',
  host: Host,
  place: FolderPlace,
  { environment }: Settings,
  expected: readonly Expected[],
  now: Date,
): Promise<SeenShelf & { source?: string }> {
  for (let attempt = 1; ; attempt++) {
    const found = await lookAtFolder(host, place)
    const title = stores[store].title
    const shelf: SeenShelf & { source?: string } = {
      store,
      title,
      state: 'seen',
      at: now,
      ...found,
      texts: {},
    }
    const contents = contentsOf(shelf, expected, environment)
    await readInto(shelf, contents, expected, host, place.folder)
    if (attempt === 2 || !isCaughtInTheMiddle(shelf, contents)) return shelf
    await sleep(2000)
  }
}

async function readInto(
  shelf: SeenShelf,
  contents: Contents,
  expected: readonly Expected[],
  host: Host,
  folder: string,
): Promise<void> {
  for (;;) {
    const keys = wantedTexts(contents, expected, shelf.texts, folderBounds)
    if (keys.length === 0) return
    const texts = await readTexts(host, folder, keys)
    for (const key of keys) shelf.texts[key] = texts.get(key) ?? ''
    // What rotation removed between the listing and now was not there.
    const gone = new Set(keys.filter((key) => !texts.has(key)))
    shelf.files = shelf.files.filter(({ key }) => !gone.has(key) && !gone.has(recordName(key)))
  }
}

/** A run that replaced or stored something between the listing and the reading looks like damage: what is damaged stays so. */
function isCaughtInTheMiddle({ texts }: SeenShelf, { archives }: Contents): boolean {
  return archives
    .flatMap(({ copies }) => copies)
    .some((copy) => {
      if (copy.recordKey === undefined || copy.bytes === undefined) return true
      const text = texts[copy.recordKey]
      return text !== undefined && knownCopy(copy, text)?.good !== true
    })
}
