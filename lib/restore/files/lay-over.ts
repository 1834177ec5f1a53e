import { chmod, lchown, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { type Entry, readLook } from '../../capture/list.ts'
import { hold } from '../../files/beneath.ts'
import { about, bytes, namesIn, withPaths } from './paths.ts'
import { giveAttributes } from './tree.ts'

/** What an item held at one time, by path, from that archive's list. */
export type State = Map<string, Entry>

/**
 * Moves what one archive of a chain held over what came before it. Both folders are ours, on one file system.
 * Links are moved, never followed. Paths are latin1 strings.
 */
export async function layOver(next: string, tree: string, state: State, folder = ''): Promise<void> {
  for (const child of await namesIn(`${next}/${folder}`)) {
    const name = folder === '' ? child : `${folder}/${child}`
    const [from, to] = [`${next}/${name}`, `${tree}/${name}`]
    const [is, was] = await Promise.all([about(from), about(to)])
    if (is?.isDirectory() && was?.isDirectory()) {
      await openUp(from, Number(is.mode))
      await openUp(to, Number(was.mode))
      await layOver(next, tree, state, name)
      // Not a member, so its time is tar's: keep what an older archive gave it.
      if (is.mtimeNs !== nanoseconds(state.get(name))) continue
      await using held = await hold(to)
      await giveAttributes(from, is, held)
    } else {
      if (is?.isDirectory() || was?.isDirectory()) await rm(bytes(to), { recursive: true, force: true })
      await rename(bytes(from), bytes(to))
    }
  }
}

/** Paths that the archives of a chain did not bring back as the list has them. */
export interface Unlike {
  lacking: string[]
  /** Present, but with another time: an older state. */
  stale: string[]
}

/**
 * Removes what the list does not have, and gives folders their mode, owner and times. Empties `state`.
 * Folders above the sources are in no list: they stay while they hold something. The list's paths are only
 * looked up, never opened. `above`: folders that alone do not count as content.
 */
export async function settle(
  tree: string,
  state: State,
  above: readonly string[] = [],
): Promise<Unlike & { isEmpty: boolean }> {
  let isEmpty = true
  const stale: string[] = []
  const times: string[] = []
  const isRoot = process.getuid?.() === 0

  /** Returns whether the folder holds anything from the list. */
  async function visit(folder: string): Promise<boolean> {
    const children = await readdir(bytes(`${tree}/${folder}`), { withFileTypes: true, encoding: 'buffer' })
    let holds = false
    for (const child of children) {
      const inner = child.name.toString('latin1')
      const name = folder === '' ? inner : `${folder}/${inner}`
      const entry = state.get(name)
      if (child.isDirectory() ? await visitFolder(name, entry) : await visitFile(name, entry, child))
        holds = true
    }
    return holds
  }

  async function visitFile(name: string, entry: Entry | undefined, child: Typed): Promise<boolean> {
    const path = `${tree}/${name}`
    if (entry === undefined || entry.mark === '~' || entry.look[0] !== typeOf(child)) {
      await unlink(bytes(path))
      return false
    }
    const time = entry.mark === '=' && child.isFile() ? nanoseconds(entry) : undefined
    if (time !== undefined && (await about(path))?.mtimeNs !== time) stale.push(name)
    isEmpty = false
    return state.delete(name)
  }

  async function visitFolder(name: string, entry: Entry | undefined): Promise<boolean> {
    const path = `${tree}/${name}`
    const is = await about(path)
    await openUp(path, Number(is?.mode))
    const holds = await visit(name)
    if (entry?.look[0] !== 'd' || entry.mark === '~') {
      if (!holds) await rmdir(bytes(path))
      return holds
    }
    isEmpty &&= above.includes(name)
    const { mode, uid, gid } = readLook(entry.look)
    if (isRoot && (Number(is?.uid) !== uid || Number(is?.gid) !== gid)) await lchown(bytes(path), uid, gid)
    await chmod(bytes(path), mode & 0o7777)
    const time = nanoseconds(entry)
    if ((await about(path))?.mtimeNs !== time && time !== undefined)
      times.push(`@${time / 1_000_000_000n}.${String(time % 1_000_000_000n).padStart(9, '0')}`, path)
    return state.delete(name)
  }

  await visit('')
  if (times.length > 0) await withPaths(touchScript, times)
  const lacking = [...state.values()].filter(({ mark }) => mark !== '~').map(({ path }) => path)
  state.clear()
  return { isEmpty, lacking, stale }
}

/** Arguments: times and folders, alternating. */
const touchScript = `
for ((i = 0; i < \${#paths[@]}; i += 2)); do touch --no-dereference --date="\${paths[i]}" -- "\${paths[i + 1]}" || exit; done
`

/** Without root, nothing can be moved out of a folder that is closed to its owner. */
async function openUp(folder: string, mode: number): Promise<void> {
  if ((mode & 0o700) !== 0o700) await chmod(bytes(folder), (mode & 0o7777) | 0o700)
}

interface Typed {
  isFile(): boolean
  isSymbolicLink(): boolean
  isFIFO(): boolean
}

/** As `%y` of find. */
function typeOf(one: Typed): string {
  return one.isFile() ? 'f' : one.isSymbolicLink() ? 'l' : one.isFIFO() ? 'p' : '?'
}

/** When it was changed, in nanoseconds. Undefined before 1970, where times are written in several formats. */
function nanoseconds(entry: Entry | undefined): bigint | undefined {
  const [, seconds, part = ''] = /^(\d+)(?:\.(\d+))?$/.exec(entry ? readLook(entry.look).mtime : '') ?? []
  if (seconds === undefined) return undefined
  return BigInt(seconds) * 1_000_000_000n + BigInt(part.padEnd(9, '0').slice(0, 9))
}
