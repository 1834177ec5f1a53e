import { constants, existsSync } from 'node:fs'
import { link, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { isAlive, startTime } from '../owner.ts'
import { type Digests, makeDigests } from './digests.ts'
import { readBehind } from './read-back.ts'
import { StoreError } from './store.ts'
import { writeBody } from './write-body.ts'

/** A hidden file beside its target, complete, on the disk and read back, that is not yet under the target's name. */
export interface Partial {
  path: string
  bytes: number
  sha256: string
}

/**
 * Writes `body` to a hidden partial beside `target`, forces it to the disk, reads it back past the page cache, as it is written, and
 * compares. Whatever fails, no partial is left and the error is thrown.
 */
export async function writePartial(
  store: string,
  target: string,
  body: Readable,
  digests: Digests = makeDigests(),
): Promise<Partial> {
  const partial = path.join(path.dirname(target), partialName(path.basename(target)))
  // What breaks the body before it is read is thrown when it is read.
  body.once('error', () => {})
  const behind = readBehind(partial)
  try {
    await mkdir(path.dirname(target), { recursive: true, mode: 0o700 })
    const file = await open(partial, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    let bytes: number
    try {
      bytes = await writeBody(file, body as AsyncIterable<Buffer>, {
        onChunk: (chunk, at) => digests.whole.add(at, chunk),
        onWritten: behind.written,
      })
      await file.sync()
    } finally {
      await file.close()
    }
    const sha256 = digests.whole.hex()
    const stored = await behind.finish()
    if (stored.bytes !== bytes || stored.sha256 !== sha256) {
      throw new StoreError(
        `${store}: ${path.basename(target)} was written but reads back different (${stored.bytes} bytes of ${bytes}, ` +
          `sha256 ${stored.sha256.slice(0, 12)}… for ${sha256.slice(0, 12)}…): the disk or the share is not to be trusted; nothing was kept`,
      )
    }
    return { path: partial, bytes, sha256 }
  } catch (error) {
    behind.abandon()
    body.destroy()
    await unlink(partial).catch(() => {})
    throw error
  }
}

/**
 * Gives the partial its name, atomically, unless the name is taken: then false, and the partial stays. Both the file
 * and the folder's entry are on the disk when it returns.
 */
export async function commitNew(partial: string, target: string): Promise<boolean> {
  try {
    await link(partial, target)
    await unlink(partial)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code ?? '')) throw error
    if (!(await reserve(target))) return false
    await rename(partial, target).catch(async (error) => {
      await unlink(target).catch(() => {})
      throw error
    })
  }
  await syncFolder(path.dirname(target))
  return true
}

/** Where links do not work: the name is taken by an empty file first, which only one process can do. */
async function reserve(target: string): Promise<boolean> {
  try {
    await (await open(target, 'wx', 0o600)).close()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Puts a complete partial in the place of `target`, whether or not there is one. */
export async function commitOver(partial: string, target: string): Promise<void> {
  await rename(partial, target)
  await syncFolder(path.dirname(target))
}

/** Forces a folder's entries to the disk. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export function isPartial(name: string): boolean {
  return partialPattern.test(name)
}

const partialPattern = /^\..*\.([^.@]+)@(\d+)@(\d+)@\d+\.partial$/

let partials = 0

/** The owner is in the name, so that a partial can be told from one that a live process still writes. */
function partialName(name: string): string {
  return `.${name}.${thisHost()}@${process.pid}@${startTime(process.pid)}@${++partials}.partial`
}

function thisHost(): string {
  return hostname().replace(/[^A-Za-z0-9-]/g, '-')
}

const foreignPartialLifeMs = 2 * 24 * 3600 * 1000

/**
 * Removes the partials in `folder` whose owner is dead: a process of this host that is gone, or one of another host
 * that has not written for two days. Returns their names.
 */
export async function cleanPartials(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return []
  const cleaned: string[] = []
  for (const name of await readdir(folder)) {
    const [, host, pid, start] = partialPattern.exec(name) ?? []
    if (host === undefined) continue
    const file = path.join(folder, name)
    const alive =
      host === thisHost()
        ? isAlive(Number(pid), Number(start))
        : Date.now() - (await lastWrite(file)) < foreignPartialLifeMs
    if (alive) continue
    await unlink(file).catch(() => {})
    cleaned.push(name)
  }
  return cleaned
}

/** Milliseconds since 1970; of a file that its owner has just renamed, now. */
async function lastWrite(file: string): Promise<number> {
  return stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => Date.now(),
  )
}
