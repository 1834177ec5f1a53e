import type { BigIntStats } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { BadArchive } from './bad-archive.ts'

/** Paths as strings that hold one byte a character (latin1), because not every file name is UTF-8. */

export async function about(file: string): Promise<BigIntStats | undefined> {
  return lstat(bytes(file), { bigint: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    if (error.code === 'ENOTDIR')
      throw new BadArchive(`${utf8(file)} cannot be there: something above it is no folder`)
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
