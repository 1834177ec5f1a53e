import { randomBytes } from 'node:crypto'
import { mkdir, readdir, realpath } from 'node:fs/promises'
import path from 'node:path'
import { removeTree } from '../../files/scratch.ts'
import type { Source } from '../../inventory.ts'
import { safeParent } from './paths.ts'

const prefix = '.comfyume-restore-'

/**
 * Calls `use` with an empty private folder on the sources' file system, where no other user can swap a name
 * of its path. Removes it afterwards, as well as leftovers of killed restores, also in the folders above.
 */
export async function withStaging<T>(
  root: string,
  sources: readonly Source[],
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const parent = await safeParent(path.join(root, commonFolder(sources)), root)
  for (const each of foldersBetween(await realpath(root), parent)) {
    for (const name of await readdir(each)) {
      if (name.startsWith(prefix)) await removeTree(path.join(each, name))
    }
  }
  const folder = path.join(parent, prefix + randomBytes(4).toString('hex'))
  const tree = path.join(folder, 'tree')
  await mkdir(tree, { recursive: true, mode: 0o700 })
  try {
    return await use(tree)
  } finally {
    await removeTree(folder)
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
