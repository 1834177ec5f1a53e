import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import type { Source } from '../inventory.ts'
import { nearestBelow } from './pass-through.ts'

const prefix = '.comfyume-restore-'

/**
 * Calls `use` with a new empty folder that only this user can read, on the file system of the sources, so that what is unpacked there can be moved
 * into place. It is gone afterwards, and so is what killed restores left on the way there, which was shorter when less was there.
 */
export async function withStaging<T>(
  root: string,
  sources: readonly Source[],
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const parent = await nearestBelow(path.join(root, commonFolder(sources)), root)
  for (const each of foldersBetween(path.resolve(root), parent)) {
    for (const name of await readdir(each)) {
      if (name.startsWith(prefix)) await rm(path.join(each, name), { recursive: true, force: true })
    }
  }
  const folder = path.join(parent, prefix + randomBytes(4).toString('hex'))
  const tree = path.join(folder, 'tree')
  await mkdir(tree, { recursive: true, mode: 0o700 })
  try {
    return await use(tree)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The deepest folder that holds all sources. */
function commonFolder(sources: readonly Source[]): string {
  const [first = [], ...others] = sources.map(({ path: source, match }) =>
    (match === undefined ? path.posix.dirname(source) : source).split('/'),
  )
  const length = first.findIndex((part, index) => others.some((other) => other[index] !== part))
  return first.slice(0, length === -1 ? first.length : length).join('/') || '/'
}

/** The root, the folder, and all folders between them. */
function foldersBetween(root: string, folder: string): string[] {
  const above = path.dirname(folder)
  return folder === root || folder === above ? [folder] : [...foldersBetween(root, above), folder]
}
