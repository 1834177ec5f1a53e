import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, readdir, readlink } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'

/** What to compare for each path, keyed by the path's bytes (as latin1: not every name is UTF-8). */
export type Stock = Map<string, Record<string, string>>

/** What a comparison leaves out: paths below the root that start with `/`. */
export interface Exceptions {
  /** With everything below. */
  whole: readonly string[]
  /** Only the folder itself; its content counts. */
  alone: readonly string[]
}

/** Takes stock of everything below `root`. */
export async function takeStock(root: string, except: Exceptions = { whole: [], alone: [] }): Promise<Stock> {
  const stock: Stock = new Map()
  const top = Buffer.from(root).toString('latin1')
  const firstNames = new Map<bigint, string>()

  async function visit(name: string): Promise<void> {
    if (except.whole.includes(name)) return
    const file = Buffer.from(top + name, 'latin1')
    const about = await lstat(file, { bigint: true })
    const facts: Record<string, string> = {
      type: `${about.mode >> 12n}`,
      mode: (about.mode & 0o7777n).toString(8),
      owner: `${about.uid}:${about.gid}`,
      'time of change': `${about.mtimeNs}`,
    }
    if (name !== '' && !except.alone.includes(name)) stock.set(name, facts)
    if (about.isSymbolicLink()) facts.link = (await readlink(file, 'buffer')).toString('latin1')
    if (about.isFile()) {
      facts.content = `${about.size} bytes, sha256 ${await digest(file)}`
      facts.holes = about.blocks * 512n < about.size ? 'some' : 'none'
      if (about.nlink > 1n) facts['hard link'] = firstNames.get(about.ino) ?? name
      if (!firstNames.has(about.ino)) firstNames.set(about.ino, name)
    }
    if (about.isDirectory()) {
      const children = await readdir(file, { encoding: 'buffer' })
      for (const child of children.map((child) => child.toString('latin1')).sort())
        await visit(`${name}/${child}`)
    }
  }

  await visit('')
  return stock
}

/** The differences between two stocks, one per line; empty if they are the same. */
export function differences(before: Stock, after: Stock): string[] {
  const found: string[] = []
  for (const [name, was] of before) {
    const is = after.get(name)
    if (is === undefined) found.push(`${shown(name)} is missing`)
    for (const fact of Object.keys({ ...was, ...is })) {
      if (is !== undefined && was[fact] !== is[fact])
        found.push(`${shown(name)}: ${fact} was ${was[fact] ?? 'none'}, is ${is[fact] ?? 'none'}`)
    }
  }
  for (const name of after.keys()) if (!before.has(name)) found.push(`${shown(name)} was not there before`)
  return found
}

function shown(name: string): string {
  return JSON.stringify(Buffer.from(name, 'latin1').toString())
}

async function digest(file: Buffer): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
