import type { BigIntStats } from 'node:fs'
import { mkdir, rename, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { hold, openFile } from '../../files/beneath.ts'
import type { Source } from '../../inventory.ts'
import { makeStamp } from '../../naming.ts'
import { runAgain } from '../../text.ts'
import { below } from '../context.ts'
import { isOnTheWay } from './mapping.ts'
import { about, bytes, latin1, move, namesIn, passThrough, utf8 } from './paths.ts'
import { giveAttributes, hardLinksIn, hasSameContent, isSame, joinHardLinks, sameAttributes } from './tree.ts'
import { BadArchive, CannotUnpack, isOutOfRoom } from './unpack.ts'

export interface Placing {
  /** The folder with the unpacked tree, on the target's file system if possible. */
  staged: string
  /** See baseOf. */
  base: string
  root: string
  sources: readonly Source[]
  /** Single files: what is not in the tree stays, and so do existing folders. */
  single?: boolean
  /** Where replaced files go, by their path below the root. Made when needed. */
  aside: string
}

export interface Placed {
  /** How many files, links and folders were added or changed. */
  changed: number
  /** What was moved aside, by its path below the root. */
  aside: string[]
  /** Paths below the root that differ but stay: they control who may log in, and cannot be merged. */
  stayed: string[]
}

/**
 * Moves a checked tree into place below the root. Different files are put aside first and key lists merged;
 * files that are not in the archive stay, unless the source is restored as a whole. Safe to interrupt and
 * repeat with a fresh tree. Paths are latin1 strings, because not every name is UTF-8.
 */
export async function putInPlace({ staged, base, root, sources, single, aside }: Placing): Promise<Placed> {
  const placed: Placed = { changed: 0, aside: [], stayed: [] }
  const top = latin1(root.replace(/\/$/, ''))
  const from = latin1(staged)
  const under = (name: string) => (base === '' ? name : name === '' ? base : `${base}/${name}`)

  /** Folders in the sources that already existed: their attributes and times come from the archive too. */
  const common: { name: string; is: BigIntStats; inode: bigint }[] = []

  /** Holds a folder; `name` is relative to the archive's base. */
  const place = (name: string) => passThrough(`${top}/${under(name)}`, latin1(root))

  /** Folders above the sources are only passed through, and made if missing. */
  async function descend(name: string): Promise<void> {
    await using folder = await place(name)
    for (const child of await namesIn(`${from}/${name}`)) {
      const inner = name === '' ? child : `${name}/${child}`
      if (!isOnTheWay(sources, utf8(under(inner))))
        await put(inner, folder.at(child), !single && isWhole(sources, utf8(under(inner))))
      else if ((await about(`${from}/${inner}`))?.isDirectory()) await descend(inner)
      else throw new BadArchive(`it holds ${utf8(inner)}, which should be a folder`)
    }
  }

  /** `target` is a name in a held folder. */
  async function put(name: string, target: string, whole: boolean): Promise<void> {
    const [is, was] = [await about(`${from}/${name}`), await about(target)]
    if (is === undefined) return
    if (was === undefined) {
      await move(`${from}/${name}`, target)
      placed.changed += 1
    } else if (is.isDirectory() && was.isDirectory()) {
      await using folder = await hold(target)
      if (!single) {
        if (!sameAttributes(is, was)) placed.changed += 1
        common.push({ name, is, inode: (await folder.about({ bigint: true })).ino })
      }
      const children = await namesIn(`${from}/${name}`)
      for (const child of children) await put(`${name}/${child}`, folder.at(child), whole)
      if (!whole) return
      for (const child of await namesIn(folder.path)) {
        if (!children.includes(child)) await makeRoom(`${name}/${child}`, folder.at(child))
      }
    } else if (await isSame(`${from}/${name}`, is, target, was)) {
      return
    } else if (saysWhoMayLogIn(name) && !(is.isFile() && was.isFile())) {
      placed.stayed.push(utf8(under(name)))
    } else if (isKeyList(name) && is.isFile()) {
      if (!(await mergeLines(`${from}/${name}`, target))) return
      await rename(bytes(`${from}/${name}`), bytes(target))
      placed.changed += 1
    } else {
      const sameContent =
        is.isFile() && was.isFile() && (await hasSameContent(`${from}/${name}`, is, target, was))
      if (!sameContent) await makeRoom(name, target)
      await move(`${from}/${name}`, target)
      placed.changed += 1
    }
  }

  async function makeRoom(name: string, target: string): Promise<void> {
    await keepAside(target, under(name), latin1(aside), latin1(root))
    placed.changed += 1
    placed.aside.push(utf8(under(name)))
  }

  try {
    const links = await hardLinksIn(staged)
    await descend('')
    placed.changed += await joinHardLinks(links, place, `${from}.link`)
    for (const { name, is, inode } of common.reverse()) {
      await using folder = await place(name)
      if ((await folder.about({ bigint: true })).ino === inode)
        await giveAttributes(`${from}/${name}`, is, folder)
    }
    return placed
  } catch (error) {
    if (isOutOfRoom(error)) {
      const places = sources.map((source) => source.path).join(', ')
      throw new CannotUnpack(`not enough space for ${places}: free some, then ${runAgain()}`, {
        cause: error,
      })
    }
    const { code, path: where } = error as NodeJS.ErrnoException
    if (!where?.startsWith('/proc/') || !['ELOOP', 'ENOTDIR', 'ENOENT', 'EINVAL'].includes(code ?? ''))
      throw error
    throw new CannotUnpack(
      `something there was replaced meanwhile: check who is logged in and what runs (who; docker ps), then ${runAgain()}`,
      { cause: error },
    )
  }
}

function isWhole(sources: readonly Source[], member: string): boolean {
  return sources.some(
    ({ path: source, whole }) => whole === true && path.posix.relative('/', source) === member,
  )
}

/** Anyone who could log in before a restore can still log in after it. */
function isKeyList(name: string): boolean {
  return /(?:^|\/)\.ssh\/authorized_keys$/.test(name)
}

/** A key list, or the folder that holds one. */
function saysWhoMayLogIn(name: string): boolean {
  return isKeyList(name) || /(?:^|\/)\.ssh$/.test(name)
}

/** Adds existing lines to the archived list. False when the archive has nothing new. */
async function mergeLines(staged: string, target: string): Promise<boolean> {
  const [archived, there] = await Promise.all(
    [staged, target].map(async (name) => {
      const file = await openFile(name)
      return file.readFile('latin1').finally(() => file.close())
    }),
  )
  const lines = (there as string).split('\n').filter((line) => line !== '')
  const news = (archived as string).split('\n').filter((line) => line !== '' && !lines.includes(line))
  if (news.length === 0) return false
  await writeFile(bytes(staged), `${[...lines, ...news].join('\n')}\n`, 'latin1')
  return true
}

/**
 * Moves what is in the way below `aside`, which is made if needed and private to its owner. `name` is its
 * path below the root. Never overwrites: if the place is taken, uses `<aside>-2` and so on. Latin1 paths.
 */
async function keepAside(target: string, name: string, aside: string, root: string): Promise<void> {
  await using parent = await passThrough(path.posix.dirname(aside), root)
  const folder = parent.at(path.posix.basename(aside))
  for (let count = 1; ; count++) {
    const place = await freePlace(count === 1 ? folder : `${folder}-${count}`, name)
    if (place !== undefined) return await move(target, place)
  }
}

/** Undefined when the place is taken, or when a file or link is on the way: nothing is written through it. */
async function freePlace(folder: string, name: string): Promise<string | undefined> {
  let inner = folder
  for (const part of ['', ...name.split('/').slice(0, -1)]) {
    if (part !== '') inner = `${inner}/${part}`
    await mkdir(bytes(inner), { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
    if (!(await about(inner))?.isDirectory()) return undefined
  }
  const place = `${folder}/${name}`
  return (await about(place)) === undefined ? place : undefined
}

/** Where a run keeps what it overwrites: a folder that no other run uses, even in the same minute. */
export async function asideFolder(root: string, now: Date): Promise<string> {
  const first = below(root, `/var/lib/comfyume-backup/kept-aside/${makeStamp(now, 'minute')}`)
  for (let run = 1; ; run++) {
    const folder = run === 1 ? first : `${first}-${run}`
    if ((await stat(folder).catch(() => undefined)) === undefined) return folder
  }
}
