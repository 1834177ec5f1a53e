import { chmod, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { type Lock, type Locks, locksOf, takeLocks } from '../backup/locks.ts'
import { filesCapture } from '../capture/files.ts'
import { restoringMarker, type Source } from '../inventory.ts'
import type { Offer } from '../restore-order.ts'
import type { Settings } from '../settings/settings.ts'
import { runAgain } from '../text.ts'
import { below, makePrivateFolder, type RestoreContext } from './context.ts'
import type { SelectedForRestore } from './plan/request.ts'

/**
 * Marks the machine as half restored, so that no backup captures it. Adds `items` to those that an unfinished
 * run left, and returns the latter. Throws when the marker cannot be written: then nothing may start.
 */
export async function putMarker(root: string, items: readonly string[]): Promise<string[]> {
  const file = below(root, restoringMarker)
  await makePrivateFolder(path.dirname(file), root)
  // A backup that does not run as root must see the marker too, but only its owner can list the folder.
  await chmod(path.dirname(file), 0o711)
  const earlier = await pending(file)
  await write(file, [...new Set([...earlier, ...items])])
  return earlier
}

/**
 * Takes finished items out of the marker, removes it when none is left, and returns the rest. Its folder
 * stays, to tell captures that a restore ran. A drill keeps only restored files, so its folder goes.
 */
export async function clearMarker(root: string, done: readonly string[], drill: boolean): Promise<string[]> {
  const file = below(root, restoringMarker)
  const left = (await pending(file)).filter((item) => !done.includes(item))
  if (left.length > 0) await write(file, left)
  else await rm(file, { force: true })
  if (left.length === 0 && drill) await removeEmptyFolders(file, path.resolve(root))
  return left
}

async function pending(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

async function write(file: string, items: readonly string[]): Promise<void> {
  const heading = '# The restore of these items is not finished: this machine is not backed up until it is.\n'
  // If the write is interrupted, the marker must still name what an earlier run left unfinished.
  await writeFile(`${file}.new`, `${heading}${items.join('\n')}\n`)
  await chmod(`${file}.new`, 0o644)
  await rename(`${file}.new`, file)
}

async function removeEmptyFolders(file: string, root: string): Promise<void> {
  for (
    let folder = path.dirname(file);
    folder.startsWith(`${root.replace(/\/$/, '')}/`);
    folder = path.dirname(folder)
  ) {
    if (folder === root || (await readdir(folder).catch(() => [''])).length > 0) return
    await rmdir(folder)
  }
}

/** What an item was restored from, and what its files looked like right after. */
const savedState = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ key: v.string(), sha256: v.string(), fingerprint: v.string() }),
)
type RestoredState = v.InferOutput<typeof savedState>

const folder = '/var/lib/comfyume-backup/restored'

/** What the restored files look like now. Undefined when they are missing. */
type Look = () => Promise<string | undefined>

/** Whether an item was restored from this copy and has not changed since. A drill saves no state. */
export async function isBack(
  context: RestoreContext,
  item: string,
  { key, record }: Offer,
  look: Look,
): Promise<boolean> {
  if (context.drill) return false
  const note = await restoredState(context, item)
  const same = record ? note?.sha256 === record.sha256 : note?.key === key
  return note !== undefined && same && note.fingerprint === (await look())
}

/** Whether an earlier run restored the item, even if it has changed since. */
export async function wasRestored(context: RestoreContext, item: string): Promise<boolean> {
  return (await restoredState(context, item)) !== undefined
}

export async function rememberRestored(
  context: RestoreContext,
  item: string,
  { key, sha256 }: { key: string; sha256: string },
  look: Look,
): Promise<void> {
  if (context.drill) return
  const fingerprint = await look()
  if (fingerprint === undefined) return
  const file = stateFile(context, item)
  await makePrivateFolder(path.dirname(file), context.root)
  await writeFile(file, `${JSON.stringify({ key, sha256, fingerprint } satisfies RestoredState)}\n`, {
    mode: 0o600,
  })
}

/** What files look like, by the survey that a backup makes. */
export function lookOf({ host }: RestoreContext, sources: readonly Source[]): Look {
  return async () => {
    // A fingerprint taken in the clock tick of a change matches no later one.
    await sleep(50)
    const survey = await filesCapture(host, sources)
      .survey()
      .catch(() => undefined)
    return survey?.state === 'there' ? survey.fingerprint : undefined
  }
}

async function restoredState(context: RestoreContext, item: string): Promise<RestoredState | undefined> {
  const text = await readFile(stateFile(context, item), 'utf8').catch(() => '')
  const { success, output } = v.safeParse(savedState, text)
  return success ? output : undefined
}

function stateFile({ root }: RestoreContext, item: string): string {
  return below(root, `${folder}/${item}.json`)
}

export interface RestoreLocks extends AsyncDisposable {
  /** Why this restore cannot start, in words. */
  busy?: string
  /** Releases the locks that keep backups away. */
  releaseItems(): Promise<void>
}

/** Blocks other restores to `root` (except for a dry run) and backups of `items` while their files change. */
export async function lockForRestore(
  root: string,
  dryRun: boolean,
  items: readonly SelectedForRestore[],
  settings: Settings,
): Promise<RestoreLocks> {
  const own: Lock = { item: 'restore', name: 'restore', store: `restore ${root}` }
  const taken: Locks[] = []
  if (!dryRun) taken.push(await takeLocks([own], 'restore'))
  const ofItems = await takeLocks(locksOfBackups(items, settings), 'restore')
  taken.push(ofItems)
  const [holder] = taken.flatMap(({ busy, elsewhere }) => [...busy].filter(([what]) => !elsewhere.has(what)))
  return {
    busy: holder && inWords(...holder, root),
    releaseItems: () => ofItems.release(),
    async [Symbol.asyncDispose]() {
      for (const locks of taken) await locks.release()
    },
  }
}

function inWords(what: string, holder: string, root: string): string {
  if (what === 'restore') return `another restore to ${root} is running: ${holder}`
  return `${what} is being backed up: ${holder}. When that has finished, ${runAgain()}`
}

function locksOfBackups(selected: readonly SelectedForRestore[], settings: Settings): Lock[] {
  // Skip Mello: it is written from Verda over ssh, so that folder here may hold someone's own copies.
  const stores = (['sfs', 'r2', 'hetzner'] as const).filter((store) => store === 'sfs' || settings[store])
  const jobs = selected.map(({ item: { name, bucket } }) => ({
    item: name,
    targets: bucket === undefined ? [] : stores.map((store) => ({ store, bucket })),
  }))
  return locksOf(jobs, settings)
}
