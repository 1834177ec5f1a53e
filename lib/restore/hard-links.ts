import { link, lstat, rename } from 'node:fs/promises'
import { execa } from 'execa'
import { toolEnvironment } from '../hosts/environment.ts'
import { about, bytes } from './bytes.ts'
import { hasSameContent } from './compare.ts'

/** Names of one file, relative to a tree, as latin1 strings. */
export interface HardLinks {
  inode: bigint
  names: string[]
}

/** The files of a tree that have more than one name. */
export async function hardLinksIn(tree: string): Promise<HardLinks[]> {
  const { stdout } = await execa('find', [tree, '-type', 'f', '-links', '+1', '-printf', '%i %P\\0'], {
    stdin: 'ignore',
    ...toolEnvironment(),
    encoding: 'latin1',
    maxBuffer: 1 << 30,
  })
  const found = new Map<string, string[]>()
  for (const line of stdout.split('\0').filter(Boolean)) {
    const [inode = '', name = ''] = line.split(/ (.*)/s)
    found.set(inode, [...(found.get(inode) ?? []), name])
  }
  return [...found].map(([inode, names]) => ({ inode: BigInt(inode), names: names.sort() }))
}

/**
 * Makes the names of a file one file again where some of them came into place by a move and others were left, being the same. `place` gives a name's path, `beside` is a free
 * name in the staging folder. Returns how many were joined. Those that were left give way: the folders they are in get their times back afterwards.
 */
export async function joinHardLinks(
  files: readonly HardLinks[],
  place: (name: string) => string,
  beside: string,
): Promise<number> {
  let joined = 0
  for (const { inode, names } of files) {
    const targets = names.map(place)
    const placed = await Promise.all(targets.map(about))
    const moved = placed.findIndex((is) => is?.ino === inode)
    const first = targets[Math.max(moved, 0)] as string
    for (const target of targets) {
      const [is, was] = [await lstat(bytes(first), { bigint: true }), await about(target)]
      if (was === undefined || was.ino === is.ino || !(await hasSameContent(first, is, target, was))) continue
      await link(bytes(first), bytes(beside))
      await rename(bytes(beside), bytes(target))
      joined += 1
    }
  }
  return joined
}
