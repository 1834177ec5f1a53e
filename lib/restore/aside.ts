import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { about, bytes } from './bytes.ts'
import { move } from './move.ts'
import { passThrough } from './pass-through.ts'

/**
 * Moves what is in the way to its own place below `aside`, a folder below the root that is made when it is needed and that only its owner can read; `name` is its path below the
 * root. What lies there from before is never written over: then it goes to `<aside>-2`, and so on. All paths are latin1 strings.
 */
export async function keepAside(target: string, name: string, aside: string, root: string): Promise<void> {
  const folder = path.posix.join(
    await passThrough(path.posix.dirname(aside), root),
    path.posix.basename(aside),
  )
  for (let count = 1; ; count++) {
    const place = await freePlace(count === 1 ? folder : `${folder}-${count}`, name)
    if (place !== undefined) return move(target, place)
  }
}

/** Undefined when something is there, or a file or a link on the way, through which nothing is written. */
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
