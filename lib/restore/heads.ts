import { readdir } from 'node:fs/promises'
import { bytes, latin1, utf8 } from './bytes.ts'

/**
 * The beginnings of the paths in an unpacked tree, `depth` folders deep; a folder, which then is empty or lies that deep, has a slash at its end. They are read
 * from the tree itself: the names that an archive lists do not tell where its members lie, since one may be written through a link that came before it.
 */
export async function headsOf(tree: string, depth: number): Promise<string[]> {
  const from = latin1(tree)
  const heads: string[] = []

  async function collect(folder: string, left: number): Promise<void> {
    const entries =
      left === 0 ? [] : await readdir(bytes(`${from}/${folder}`), { withFileTypes: true, encoding: 'buffer' })
    if (entries.length === 0 && folder !== '') heads.push(utf8(folder))
    for (const entry of entries) {
      const inner = folder + entry.name.toString('latin1')
      if (entry.isDirectory()) await collect(`${inner}/`, left - 1)
      else heads.push(utf8(inner))
    }
  }

  await collect('', depth)
  return heads.sort()
}
