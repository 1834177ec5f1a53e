import type { BigIntStats } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'

/** Paths as strings that hold one byte a character (latin1), because not every file name is UTF-8. */

/** What lies at a path, where a link is itself; undefined for nothing, and for a path that leads nowhere. */
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

/** A name, as text, for a message: what would do something to a terminal is escaped. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
}
