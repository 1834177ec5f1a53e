import { readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { restoringMarker } from '../inventory.ts'
import { below, makePrivateFolder } from './site.ts'

/**
 * Marks the machine as half restored, which keeps every backup from capturing it. `items` are what this run is about to bring back; they are added to those that an
 * earlier, unfinished run left, and which are returned. Throws when it cannot be written: then nothing may begin.
 */
export async function putMarker(root: string, items: readonly string[]): Promise<string[]> {
  const file = below(root, restoringMarker)
  await makePrivateFolder(path.dirname(file), root)
  const earlier = await pending(file)
  await write(file, [...new Set([...earlier, ...items])])
  return earlier
}

/** Takes the items that are back from the marker, and the marker away when none is left. Returns those that are left. */
export async function clearMarker(root: string, done: readonly string[]): Promise<string[]> {
  const file = below(root, restoringMarker)
  const left = (await pending(file)).filter((item) => !done.includes(item))
  if (left.length > 0) await write(file, left)
  else await removeWithEmptyFolders(file, path.resolve(root))
  return left
}

async function pending(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

async function write(file: string, items: readonly string[]): Promise<void> {
  const heading =
    '# A restore of these items has begun and not finished: no backup is made of this machine until it has.\n'
  // Cut off half-way, it must not forget what an earlier run left half done.
  await writeFile(`${file}.new`, `${heading}${items.join('\n')}\n`, { mode: 0o600 })
  await rename(`${file}.new`, file)
}

/** A drill's folder shall hold nothing but what was restored. */
async function removeWithEmptyFolders(file: string, root: string): Promise<void> {
  await rm(file, { force: true })
  for (
    let folder = path.dirname(file);
    folder.startsWith(`${root.replace(/\/$/, '')}/`);
    folder = path.dirname(folder)
  ) {
    if (folder === root || (await readdir(folder).catch(() => [''])).length > 0) return
    await rmdir(folder)
  }
}
