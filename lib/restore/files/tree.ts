import type { BigIntStats } from 'node:fs'
import { type FileHandle, link, lstat, readdir, readlink, rename } from 'node:fs/promises'
import path from 'node:path'
import { deviceTypes, tooLongPattern, type UnfitKind, unfit } from '../../acceptance.ts'
import { type Held, openFile } from '../../files/beneath.ts'
import { run } from '../../hosts/process.ts'
import { groupBy } from '../../text.ts'
import { about, bytes, latin1, utf8, withPaths } from './paths.ts'

/** A member that is left out; its path is below the unpacked tree. */
interface LeftOut {
  path: string
  kind: UnfitKind
}

/**
 * Removes what must not come back from an unpacked tree, and returns it. `base`: where the members count
 * from, below the root. Links stay, wherever they lead: they are data, and nothing is written through one.
 */
export async function takeOutUnfit(tree: string, base: string): Promise<LeftOut[]> {
  const types = deviceTypes.flatMap((type) => ['-type', type, '-o'])
  const { stdout } = await run(
    [
      'find',
      '.',
      '-depth',
      '(',
      ...types,
      '-path',
      `./${tooLongPattern}`,
      ')',
      '-printf',
      '%y%P\\0',
      '-delete',
    ],
    { reject: true, cwd: tree, encoding: 'latin1' },
  )
  return stdout
    .split('\0')
    .filter(Boolean)
    .flatMap((line) => {
      const [type = '', member] = [line[0], line.slice(1)]
      const kind = unfit(path.posix.join('/', latin1(base), member), type)
      return kind === undefined ? [] : { path: utf8(member), kind }
    })
}

/** Whether a regular file has content at a path that matches. */
export async function isFilled(tree: string, pattern = '*'): Promise<boolean> {
  const words = ['find', tree, '-type', 'f', '-size', '+0c', '-path', pattern, '-printf', 'x', '-quit']
  return (await run(words, { reject: true })).stdout !== ''
}

/** Removes setuid and setgid bits, and returns the paths of their files. */
export async function withoutRights(tree: string): Promise<string[]> {
  const words = ['find', tree, '-type', 'f', '-perm', '/6000', '-printf', '%P\\0']
  const { stdout } = await run([...words, '-exec', 'chmod', 'ug-s', '{}', '+'], { reject: true })
  return stdout.split('\0').filter(Boolean)
}

/**
 * The first `depth` parts of the paths in an unpacked tree. A folder ends with a slash: it is empty or that
 * deep. Read from the tree, because an earlier link may redirect a listed name.
 */
export async function topPathsOf(tree: string, depth: number): Promise<string[]> {
  const from = latin1(tree)
  const topPaths: string[] = []

  async function collect(folder: string, left: number): Promise<void> {
    const entries =
      left === 0 ? [] : await readdir(bytes(`${from}/${folder}`), { withFileTypes: true, encoding: 'buffer' })
    if (entries.length === 0 && folder !== '') topPaths.push(utf8(folder))
    for (const entry of entries) {
      const inner = folder + entry.name.toString('latin1')
      if (entry.isDirectory()) await collect(`${inner}/`, left - 1)
      else topPaths.push(utf8(inner))
    }
  }

  await collect('', depth)
  return topPaths.sort()
}

/**
 * Gives a held folder the mode, owner, ACLs and attributes of one in an unpacked tree, and the times in `is`,
 * taken before anything was moved out of it. Does nothing when mode, owner and time already match.
 */
export async function giveAttributes(staged: string, is: BigIntStats, folder: Held): Promise<void> {
  const was = await folder.about({ bigint: true })
  if (sameAttributes(is, was) && is.mtimeNs === was.mtimeNs) return
  const time = `@${is.mtimeNs / 1_000_000_000n}.${String(is.mtimeNs % 1_000_000_000n).padStart(9, '0')}`
  await withPaths(attributesScript, [staged, folder.path, time])
}

const attributesScript = `
attributes=(--format=posix --numeric-owner --acls --xattrs)
cd -- "$1" && tar --create --file=- --no-recursion --mtime="$3" "\${attributes[@]}" . |
  tar --extract --file=- --directory="$2" --preserve-permissions "\${attributes[@]}"
`

/** Names of one file, relative to a tree, as latin1 strings. */
export interface HardLinks {
  inode: bigint
  names: string[]
}

/** Files with more than one name. */
export async function hardLinksIn(tree: string): Promise<HardLinks[]> {
  const { stdout } = await run(['find', tree, '-type', 'f', '-links', '+1', '-printf', '%i %P\\0'], {
    reject: true,
    encoding: 'latin1',
  })
  const lines = stdout.split('\0').filter(Boolean)
  const found = groupBy(
    lines.map((line) => line.split(/ (.*)/s)),
    ([inode = '']) => inode,
  )
  return [...found].map(([inode, all]) => ({
    inode: BigInt(inode),
    names: all.map(([, name = '']) => name).sort(),
  }))
}

/**
 * Links a file's names together again, if some were moved into place and others were kept because they
 * matched. `place` holds a folder by name; `beside` is a free name in the staging folder. Returns how many
 * were joined. Replacing a name changes its folder's times: restore them afterwards.
 */
export async function joinHardLinks(
  files: readonly HardLinks[],
  place: (name: string) => Promise<Held>,
  beside: string,
): Promise<number> {
  let joined = 0
  for (const { inode, names } of files) {
    const folders = await Promise.all(names.map((name) => place(path.posix.dirname(name))))
    try {
      const targets = names.map((name, index) => (folders[index] as Held).at(path.posix.basename(name)))
      const placed = await Promise.all(targets.map(about))
      const moved = placed.findIndex((is) => is?.ino === inode)
      const first = targets[Math.max(moved, 0)] as string
      for (const target of targets) {
        const [is, was] = [await lstat(bytes(first), { bigint: true }), await about(target)]
        if (was === undefined || was.ino === is.ino || !(await hasSameContent(first, is, target, was)))
          continue
        await link(bytes(first), bytes(beside))
        await rename(bytes(beside), bytes(target))
        joined += 1
      }
    } finally {
      await Promise.all(folders.map((folder) => folder[Symbol.asyncDispose]()))
    }
  }
  return joined
}

/** Whether two paths hold the same content, mode, owner and time. */
export async function isSame(
  staged: string,
  is: BigIntStats,
  target: string,
  was: BigIntStats,
): Promise<boolean> {
  if (is.mode !== was.mode || is.uid !== was.uid || is.gid !== was.gid) return false
  if (is.isSymbolicLink()) {
    const [to, wasTo] = await Promise.all([staged, target].map((file) => readlink(bytes(file), 'latin1')))
    return to === wasTo
  }
  if (!is.isFile()) return true
  return is.mtimeNs === was.mtimeNs && (await hasSameContent(staged, is, target, was))
}

export function sameAttributes(is: BigIntStats, was: BigIntStats): boolean {
  return is.mode === was.mode && is.uid === was.uid && is.gid === was.gid
}

export async function hasSameContent(
  staged: string,
  is: BigIntStats,
  target: string,
  was: BigIntStats,
): Promise<boolean> {
  if (is.size !== was.size) return false
  await using archived = await openFile(staged)
  await using there = await openFile(target)
  const buffers = [Buffer.alloc(1 << 20), Buffer.alloc(1 << 20)] as const
  for (;;) {
    const [a, b] = await Promise.all([fill(archived, buffers[0]), fill(there, buffers[1])])
    if (a !== b || buffers[0].compare(buffers[1], 0, b, 0, a) !== 0) return false
    if (a === 0) return true
  }
}

async function fill(file: FileHandle, buffer: Buffer): Promise<number> {
  let filled = 0
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}
