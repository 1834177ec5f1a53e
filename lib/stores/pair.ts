import { readFile, rename, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { recordName } from '../naming.ts'
import { readRecord } from '../record.ts'
import { commitOver, syncFolder, writePartial } from './partial.ts'
import { digestPastCache } from './read-back.ts'
import { mostSmallBytes } from './small-text.ts'

/**
 * Puts an archive and its record in place as a pair, though only single files can be renamed: the new record first
 * stands beside the archive as `<record>.next`, then the archive gets its name, then the record. Wherever that is cut
 * off, at most one of the two records fits the archive that is there, and mendPair knows which.
 */
export async function placePair(
  store: string,
  archive: string,
  record: string,
  commitArchive: () => Promise<void>,
): Promise<void> {
  const next = nextRecord(archive)
  const text = await writePartial(store, next, Readable.from([Buffer.from(record)]))
  await commitOver(text.path, next)
  try {
    await commitArchive()
    await commitOver(next, recordName(archive))
  } catch (error) {
    // The archive may have got its name before that failed, and be the only copy of its day: then its record goes with it. What cannot be mended
    // now is mended by the next run.
    await mendPair(archive).catch(() => {})
    throw error
  }
}

/** Finishes or undoes a pair that was cut off half-way: of the two records the one that fits the archive stays. */
export async function mendPair(archive: string): Promise<void> {
  const next = nextRecord(archive)
  const size = (await ifThere(stat(next)))?.size
  if (size === undefined) return
  const text = size > mostSmallBytes ? '' : await readFile(next, 'utf8')
  const held = await ifThere(digestPastCache(archive))
  if (held !== undefined && held.sha256 === readRecord(text)?.sha256) await rename(next, recordName(archive))
  else await unlink(next)
  await syncFolder(path.dirname(archive))
}

/** The record of a pair that is being put in place. */
function nextRecord(archive: string): string {
  return `${recordName(archive)}.next`
}

async function ifThere<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
