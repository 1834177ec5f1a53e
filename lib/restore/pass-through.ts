import { chown, mkdir, realpath } from 'node:fs/promises'
import path from 'node:path'
import { CannotUnpack } from './bad-archive.ts'
import { about, bytes, latin1, utf8 } from './bytes.ts'

/**
 * The folder at a path below the root (both as latin1 strings): itself, or where it leads as a link, as long as that is below the root too. One that is not there is made, its
 * owner being that of its parent. Throws CannotUnpack when there is no way in.
 */
export async function passThrough(folder: string, root: string): Promise<string> {
  const is = await about(folder)
  if (is === undefined) {
    const parent = await passThrough(path.posix.dirname(folder), root)
    const made = path.posix.join(parent, path.posix.basename(folder))
    await mkdir(bytes(made), { mode: 0o755 })
    const above = await about(parent)
    if (above && process.getuid?.() === 0) await chown(bytes(made), Number(above.uid), Number(above.gid))
    return made
  }
  const real = await realpath(bytes(folder), 'buffer').then(
    (found) => found.toString('latin1'),
    () => undefined,
  )
  if (real === undefined)
    throw new CannotUnpack(
      `${utf8(folder)} is a link that leads nowhere: nothing is written through it. Remove it and run again`,
    )
  if (!(await isBelow(real, root)))
    throw new CannotUnpack(
      `${utf8(folder)} is a link that leads out of ${utf8(root)}, to ${utf8(real)}: nothing is written through it`,
    )
  if (!(await about(real))?.isDirectory())
    throw new CannotUnpack(`${utf8(folder)} is in the way: it is no folder. Move it away and run again`)
  return real
}

/** Whether a real path, as a latin1 string, is the root or lies below it. */
async function isBelow(real: string, root: string): Promise<boolean> {
  const top = (await realpath(bytes(root), 'buffer')).toString('latin1').replace(/\/$/, '')
  return real === top || real.startsWith(`${top}/`)
}

/** The deepest folder of a path below the root that is there and that passThrough would take. */
export async function nearestBelow(folder: string, root: string): Promise<string> {
  const real = await realpath(folder).catch(() => undefined)
  const fits =
    real !== undefined &&
    (await isBelow(latin1(real), latin1(root))) &&
    (await about(latin1(real)))?.isDirectory()
  return fits || path.resolve(folder) === path.resolve(root)
    ? folder
    : nearestBelow(path.dirname(folder), root)
}
