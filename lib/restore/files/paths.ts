import { randomBytes } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import { lstat, mkdir, readdir, realpath, rename, rm, rmdir } from 'node:fs/promises'
import path from 'node:path'
import { type Held, hold, isOurs } from '../../files/beneath.ts'
import { bash, run } from '../../hosts/process.ts'
import { runAgain } from '../../text.ts'
import { CannotUnpack } from './unpack.ts'

/** Paths are strings with one byte per character (latin1), because not every file name is UTF-8. */

/** What is at a path, without following a link. Undefined for nothing, or a path that leads nowhere. */
export async function about(file: string): Promise<BigIntStats | undefined> {
  return lstat(bytes(file), { bigint: true }).catch((error: NodeJS.ErrnoException) => {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(error.code ?? '')) return undefined
    throw error
  })
}

export async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(bytes(folder), { encoding: 'buffer' })).map((name) => name.toString('latin1')).sort()
}

export function bytes(name: string): Buffer {
  return Buffer.from(name, 'latin1')
}

export function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}

export function utf8(name: string): string {
  return bytes(name).toString()
}

/**
 * Holds the folder at a path below the root (both latin1), and makes it with its parent's owner if missing.
 * Follows links that only root or this user could have made, if they stay below the root. Throws CannotUnpack
 * when there is no way in.
 */
export async function passThrough(folder: string, root: string): Promise<Held> {
  const { held } = await walk(folder, root, make)
  return held as Held
}

/** The same, but undefined when the folder is missing. */
export async function lookThrough(folder: string, root: string): Promise<Held | undefined> {
  return (await walk(folder, root)).held
}

/**
 * The deepest folder on the way to a path below the root that only we can write to, and whose parents only we
 * can write to: names in it cannot be swapped. On the path's file system if possible. Paths are plain text.
 */
export async function safeParent(folder: string, root: string): Promise<string> {
  const { held, way } = await walk(latin1(folder), latin1(root)).catch((error: Error) => {
    if (error instanceof NoWay) return error
    throw error
  })
  await held?.[Symbol.asyncDispose]()
  const other = way.findIndex((step, index) => index > 0 && !step.ours)
  const safe = other === -1 ? way : way.slice(0, other)
  const device = way.at(-1)?.device
  return utf8((safe.findLast((step) => step.device === device) ?? (safe.at(-1) as Step)).path)
}

interface Step {
  path: string
  device: bigint
  ours: boolean
}

/** Carries the steps taken before the way ended. */
class NoWay extends CannotUnpack {
  readonly held = undefined
  constructor(
    message: string,
    readonly way: Step[],
  ) {
    super(message)
  }
}

/** Walks to a folder name by name from the root. If it is missing and `make` absent, holds nothing. */
async function walk(
  folder: string,
  root: string,
  make?: (parent: Held, name: string) => Promise<void>,
): Promise<{ held?: Held; way: Step[] }> {
  const top = (await realpath(bytes(root), 'buffer')).toString('latin1')
  let rest = path.posix
    .relative(path.posix.resolve(root), path.posix.resolve(folder))
    .split('/')
    .filter(Boolean)
  let held = await hold(top, { link: true })
  let way: Step[] = [await stepOf(held, top)]
  let links = 0
  try {
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      const here = way.at(-1) as Step
      const inner = path.posix.join(here.path, name)
      const says = (what: string) => new NoWay(`${utf8(inner)} ${what}`, way)
      let is = await about(held.at(name))
      if (is === undefined) {
        if (make === undefined) {
          await held[Symbol.asyncDispose]()
          return { way }
        }
        await make(held, name)
        is = await about(held.at(name))
      }
      if (is?.isSymbolicLink()) {
        if (!here.ours)
          throw says(
            'is a link that another user could change: nothing is written through it. Make it a folder',
          )
        const real = await realpath(bytes(held.at(name)), 'buffer').catch(() => undefined)
        if (real === undefined || ++links > 40)
          throw says(
            `is a link that leads nowhere: nothing is written through it. Remove it, then ${runAgain()}`,
          )
        const leads = path.posix.relative(top, real.toString('latin1'))
        if (leads === '..' || leads.startsWith('../'))
          throw says(`is a link that leads out of ${utf8(root)}, to ${real}: nothing is written through it`)
        rest = [...leads.split('/').filter(Boolean), ...rest]
        await held[Symbol.asyncDispose]()
        held = await hold(top, { link: true })
        way = [await stepOf(held, top)]
        continue
      }
      if (!is?.isDirectory())
        throw says(`is in the way: it is not a folder. Move it away, then ${runAgain()}`)
      const next = await hold(held.at(name)).catch(() => {
        throw says(`was replaced just now: check who is logged in, then ${runAgain()}`)
      })
      await held[Symbol.asyncDispose]()
      held = next
      way.push(await stepOf(held, inner))
    }
    return { held, way }
  } catch (error) {
    await held[Symbol.asyncDispose]()
    throw error
  }
}

async function stepOf(held: Held, path: string): Promise<Step> {
  const is = await held.about({ bigint: true })
  return { path, device: is.dev, ours: isOurs(is) }
}

/** One at a time: parallel model downloads use the same folder, and each must find it finished. */
function make(parent: Held, name: string): Promise<void> {
  const made = making.then(() => makeOne(parent, name))
  making = made.catch(() => {})
  return made
}

let making: Promise<void> = Promise.resolve()

/** Changes the owner only of an empty folder: another user could have put one of root's there. */
async function makeOne(parent: Held, name: string): Promise<void> {
  try {
    await mkdir(bytes(parent.at(name)), { mode: 0o700 })
  } catch (error) {
    // The caller judges what is there now.
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return
    throw error
  }
  await using made = await hold(parent.at(name))
  const above = await parent.about()
  if ((await namesIn(made.path)).length > 0) return
  if (process.getuid?.() === 0) await made.chown(above.uid, above.gid)
  await made.chmod(0o755)
}

/** Renames, or copies between file systems. Both latin1 paths are in folders that are held or only ours. */
export async function move(from: string, to: string): Promise<void> {
  try {
    await rename(bytes(from), bytes(to))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EBUSY')
      throw new CannotUnpack(
        `${utf8(from)} or ${utf8(to)} is a mount point, which cannot be moved: unmount it, then ${runAgain()}`,
      )
    if (code !== 'EXDEV') throw error
    await copyOver(from, to)
  }
}

/** Copies into a folder of ours next to the target first: elsewhere, another user could redirect tar. */
async function copyOver(from: string, to: string): Promise<void> {
  const { dir: parent, base: name } = path.posix.parse(from)
  const beside = `${path.posix.dirname(to)}/.comfyume-restore-${randomBytes(4).toString('hex')}`
  await mkdir(bytes(beside), { mode: 0o700 })
  await using copy = await hold(beside)
  try {
    const is = await copy.about()
    if (is.uid !== process.getuid?.() || (is.mode & 0o077) !== 0 || (await namesIn(copy.path)).length > 0)
      throw new CannotUnpack(
        `${utf8(beside)} was replaced just now: check who is logged in, then ${runAgain()}`,
      )
    await withPaths(copyScript, [parent, name, copy.path])
    await rename(bytes(copy.at(name)), bytes(to))
    await withPaths('cd -- "$1" && rm -rf -- "./$2"', [parent, name])
  } finally {
    await rm(bytes(copy.at(name)), { recursive: true, force: true })
    await rmdir(bytes(beside)).catch(() => {})
  }
}

const copyScript = `
attributes=(--format=posix --numeric-owner --acls --xattrs --xattrs-include='*')
cd -- "$1" && tar --create --file=- --sparse "\${attributes[@]}" -- "./$2" |
  tar --extract --file=- --directory="$3" --preserve-permissions "\${attributes[@]}"
`

/** Runs bash with latin1 paths as arguments: Node's command lines cannot hold every byte. */
export async function withPaths(script: string, paths: readonly string[]): Promise<void> {
  const input = bytes(paths.map((each) => `${each}\0`).join(''))
  await run(bash(`mapfile -d '' -t paths && set -- "\${paths[@]}"\n${script}`), { reject: true, input })
}
