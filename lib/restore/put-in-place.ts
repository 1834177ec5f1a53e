import { readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Source } from '../inventory.ts'
import { keepAside } from './aside.ts'
import { BadArchive } from './bad-archive.ts'
import { about, bytes, latin1, namesIn, utf8 } from './bytes.ts'
import { hasSameContent, isSame, sameAttributes } from './compare.ts'
import { keepDirectories, restoreDirectories } from './directories.ts'
import { hardLinksIn, joinHardLinks } from './hard-links.ts'
import { isOnTheWay } from './mapping.ts'
import { move } from './move.ts'
import { passThrough } from './pass-through.ts'

export interface Placing {
  /** The folder with the unpacked tree, on the file system of the target where that can be. */
  staged: string
  /** See baseOf. */
  base: string
  root: string
  sources: readonly Source[]
  /** Where what has to make room goes, by its path below the root. Made when it is needed. */
  aside: string
}

export interface Placed {
  /** How many files, links and folders were put there or changed. */
  changed: number
  /** What made room, by its path below the root. */
  aside: string[]
  /** What was not replaced although it is different, by its path below the root: it says who may log in, and cannot be merged. */
  stayed: string[]
}

/**
 * Moves an unpacked and checked tree to where it belongs below the root. What is there already and the same is left; what is different is put
 * aside first; what is not in the archive stays, unless the source is restored as a whole. Lists of ssh keys that may log in are merged.
 * Can be cut off anywhere and called again with a fresh tree.
 *
 * Paths are handled as bytes (latin1 strings), because not every name is UTF-8.
 */
export async function putInPlace({ staged, base, root, sources, aside }: Placing): Promise<Placed> {
  const placed: Placed = { changed: 0, aside: [], stayed: [] }
  const top = latin1(root.replace(/\/$/, ''))
  const from = latin1(staged)
  const under = (name: string) => (base === '' ? name : name === '' ? base : `${base}/${name}`)

  /** Folders above the sources: only passed through, and made where they are not there. */
  async function descend(name: string, target: string): Promise<void> {
    for (const child of await namesIn(`${from}/${name}`)) {
      const inner = name === '' ? child : `${name}/${child}`
      const place = `${target}/${child}`
      if (!isOnTheWay(sources, utf8(under(inner))))
        await put(inner, place, isWhole(sources, utf8(under(inner))))
      else if ((await about(`${from}/${inner}`))?.isDirectory())
        await descend(inner, await passThrough(place, latin1(root)))
      else throw new BadArchive(`it holds ${utf8(inner)}, which should be a folder`)
    }
  }

  async function put(name: string, target: string, whole: boolean): Promise<void> {
    const [is, was] = [await about(`${from}/${name}`), await about(target)]
    if (is === undefined) return
    if (was === undefined) {
      await move(`${from}/${name}`, target)
      placed.changed += 1
    } else if (is.isDirectory() && was.isDirectory()) {
      if (!sameAttributes(is, was)) placed.changed += 1
      const children = await namesIn(`${from}/${name}`)
      for (const child of children) await put(`${name}/${child}`, `${target}/${child}`, whole)
      if (!whole) return
      for (const child of await namesIn(target)) {
        if (!children.includes(child)) await makeRoom(`${name}/${child}`, `${target}/${child}`)
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

  const directories = await keepDirectories(
    staged,
    await common('', top + (base === '' ? '' : `/${latin1(base)}`)),
  )
  const links = await hardLinksIn(staged)
  await descend('', base === '' ? top : await passThrough(`${top}/${latin1(base)}`, latin1(root)))
  placed.changed += await joinHardLinks(links, (name) => `${top}/${under(name)}`, `${from}.link`)
  await restoreDirectories(directories, path.join(root, base))
  return placed

  /** Folders within the sources that are there already: their attributes and times come from the archive all the same. */
  async function common(name: string, target: string): Promise<string[]> {
    const found: string[] = []
    for (const child of await namesIn(`${from}/${name}`)) {
      const inner = name === '' ? child : `${name}/${child}`
      const [is, was] = [await about(`${from}/${inner}`), await about(`${target}/${child}`)]
      const onTheWay = isOnTheWay(sources, utf8(under(inner)))
      if (!is?.isDirectory() || (!was?.isDirectory() && !(onTheWay && was))) continue
      if (!onTheWay) found.push(inner)
      found.push(...(await common(inner, `${target}/${child}`)))
    }
    return found
  }
}

function isWhole(sources: readonly Source[], member: string): boolean {
  return sources.some(
    ({ path: source, whole }) => whole === true && path.posix.relative('/', source) === member,
  )
}

/** Who may log in: whoever could before a restore still can after it. */
function isKeyList(name: string): boolean {
  return /(?:^|\/)\.ssh\/authorized_keys$/.test(name)
}

/** A key list, or the folder that holds it. */
function saysWhoMayLogIn(name: string): boolean {
  return isKeyList(name) || /(?:^|\/)\.ssh$/.test(name)
}

/** Adds the lines of what is there to those of the archive; false when the archive has nothing new. */
async function mergeLines(staged: string, target: string): Promise<boolean> {
  const [archived, there] = await Promise.all([staged, target].map((file) => readFile(bytes(file), 'latin1')))
  const lines = (there as string).split('\n').filter((line) => line !== '')
  const news = (archived as string).split('\n').filter((line) => line !== '' && !lines.includes(line))
  if (news.length === 0) return false
  await writeFile(bytes(staged), `${[...lines, ...news].join('\n')}\n`, 'latin1')
  return true
}
