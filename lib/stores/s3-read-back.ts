import { randomInt } from 'node:crypto'
import { sha256Of } from '../digest.ts'
import type { Connection } from './s3-client.ts'
import { lookUp } from './s3-lookup.ts'
import { read } from './s3-read.ts'
import { type Receipt, StoreError } from './store.ts'

/** What is remembered of a part: enough to recognise it on the server. */
export interface SentPart {
  number: number
  bytes: number
  /** Lower-case hex. */
  sha256: string
  etag: string
}

/**
 * Reads back what was stored and compares it with what was sent: all of it up to `wholeUpTo` bytes, else its size and
 * samples of about as much: the first part, the last and random ones between. Throws a StoreError.
 */
export async function readBack(
  connection: Connection,
  sent: Receipt,
  parts: SentPart[],
  wholeUpTo: number,
): Promise<void> {
  const { key, bytes, sha256 } = sent
  if (bytes <= wholeUpTo) {
    const stored = await sha256Of(await read(connection, key))
    if (stored !== sha256) throw mismatch(connection, key, 'another content')
    return
  }
  const found = await lookUp(connection, key)
  if (found === undefined) {
    throw new StoreError(`${connection.name}: ${key} is not there, although the server said so: run again`)
  }
  if (found.bytes !== bytes) throw mismatch(connection, key, `${found.bytes} bytes where ${bytes} were sent`)
  const differing = await firstDifference(connection, key, parts, wholeUpTo)
  if (differing !== undefined) throw mismatch(connection, key, `another content in part ${differing}`)
}

/** The number of the first sampled part that the server holds differently, or undefined. */
export async function firstDifference(
  connection: Connection,
  key: string,
  parts: SentPart[],
  about: number,
): Promise<number | undefined> {
  const ordered = parts.toSorted((a, b) => a.number - b.number)
  const partBytes = ordered[0]?.bytes ?? 0
  for (const part of sample(ordered, Math.max(3, Math.floor(about / partBytes)))) {
    const start = (part.number - 1) * partBytes
    const stored = await sha256Of(await read(connection, key, { from: start, to: start + part.bytes }))
    if (stored !== part.sha256) return part.number
  }
  return undefined
}

/** The first, the last, and random ones between, in order. */
function sample<T>(items: T[], count: number): T[] {
  const chosen = new Set([0, items.length - 1])
  while (chosen.size < Math.min(count, items.length)) chosen.add(randomInt(items.length))
  return items.filter((_, index) => chosen.has(index))
}

function mismatch(connection: Connection, key: string, found: string): StoreError {
  return new StoreError(
    `${connection.name}: ${key} was read back and holds ${found}. It stays there without a record, as an orphan that ` +
      `nothing restores from; run again, which stores the item under its next name, and ask the provider why`,
  )
}
