import { constants, existsSync } from 'node:fs'
import { link, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { isAlive, startTime } from '../../files/scratch.ts'
import { type Digests, makeDigests } from '../digests.ts'
import { StoreError } from '../store.ts'
import { digestPastCache } from './read-back.ts'
import { writeBody } from './write-body.ts'

/** A hidden file next to its target: complete, synced and read back, but not renamed yet. */
export interface Partial {
  path: string
  bytes: number
  sha256: string
}

/** Writes `body` to a hidden partial, syncs it and compares what the disk holds. On failure removes it. */
export async function writePartial(
  store: string,
  target: string,
  body: Readable,
  digests: Digests = makeDigests(),
): Promise<Partial> {
  const partial = path.join(path.dirname(target), partialName(path.basename(target)))
  // The read below throws this error.
  body.once('error', () => {})
  try {
    await mkdir(path.dirname(target), { recursive: true, mode: 0o700 })
    const file = await open(partial, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    let bytes: number
    try {
      bytes = await writeBody(file, body as AsyncIterable<Buffer>, {
        onChunk: (chunk, at) => digests.whole.add(at, chunk),
      })
      await file.sync()
    } finally {
      await file.close()
    }
    const sha256 = digests.whole.hex()
    const stored = await digestPastCache(partial)
    if (stored.bytes !== bytes || stored.sha256 !== sha256) {
      throw new StoreError(
        `${store}: ${path.basename(target)} was written but reads back different (${stored.bytes} bytes of ${bytes}, ` +
          `sha256 ${stored.sha256.slice(0, 12)}… for ${sha256.slice(0, 12)}…): the disk or the share cannot be trusted; nothing was kept`,
      )
    }
    return { path: partial, bytes, sha256 }
  } catch (error) {
    body.destroy()
    await unlink(partial).catch(() => {})
    throw error
  }
}

/** Gives the partial its final name atomically. Returns false, and keeps it, when the name is taken. */
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

/** Without hard links, an empty file reserves the name: only one process can create it. */
async function reserve(target: string): Promise<boolean> {
  try {
    await (await open(target, 'wx', 0o600)).close()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Renames a complete partial to `target`, and replaces what is there. */
export async function commitOver(partial: string, target: string): Promise<void> {
  await rename(partial, target)
  await syncFolder(path.dirname(target))
}

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

/** The name includes the owner, so that cleanPartials can tell whether its process is alive. */
function partialName(name: string): string {
  return `.${name}.${thisHost()}@${process.pid}@${startTime(process.pid)}@${++partials}.partial`
}

function thisHost(): string {
  return hostname().replace(/[^A-Za-z0-9-]/g, '-')
}

const foreignPartialLifeMs = 2 * 24 * 3600 * 1000

/**
 * Removes the partials in `folder` whose owner is dead: a process that is gone from this host, or one on
 * another host that has not written for two days. Returns their names.
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

/** Milliseconds since 1970. Now, if the owner has just renamed the file. */
async function lastWrite(file: string): Promise<number> {
  return stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => Date.now(),
  )
}
