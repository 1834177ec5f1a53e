import type { Dirent } from 'node:fs'
import { lstat, open as openFile, readdir, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { type AppendOnlyStore, type Entry, KeyExists, NoSuchKey, StoreError } from '../store.ts'
import { type DirectoryOptions, lockFolder, lookAtDirectory, probeDirectory } from './probe.ts'
import { readPastCache } from './read-back.ts'
import { cleanPartials, commitNew, isPartial, writePartial } from './write.ts'

/** A store in a folder: a key is a path below `root`. Unfinished writes are hidden partial files. */
export function directoryStore(options: DirectoryOptions): AppendOnlyStore {
  const { name, root } = options
  const cleaned = new Set<string>()

  const ifThere = <T>(answer: Promise<T>, key: string): Promise<T> =>
    answer.catch((error) => {
      throw (error as NodeJS.ErrnoException).code === 'ENOENT'
        ? new NoSuchKey(name, key, { cause: error })
        : error
    })

  return {
    name,

    async probe(folder) {
      const room = await probeDirectory(options)
      if (folder === undefined) return room
      const removed = await cleanPartials(path.join(root, folder))
      return removed.length > 0 ? probeDirectory(options) : room
    },

    look: () => lookAtDirectory(options),

    list: (prefix, { after = '' } = {}) => walk(root, prefix, after),

    async open(key, from = 0) {
      const handle = await ifThere(openFile(keyPath(root, key), 'r'), key)
      return handle.createReadStream({ start: from, highWaterMark: 1 << 20 })
    },

    async openPastCache(key) {
      const file = keyPath(root, key)
      await ifThere(stat(file), key)
      return readPastCache(file)
    },

    async create(key, body, digests) {
      const target = keyPath(root, key)
      body.once('error', () => {})
      try {
        if (await exists(target)) throw new KeyExists(name, key)
        const folder = path.dirname(target)
        if (!cleaned.has(folder)) await cleanPartials(folder)
        cleaned.add(folder)
        const { path: partial, bytes, sha256 } = await writePartial(name, target, body, digests)
        if (!(await commitNew(partial, target))) {
          await unlink(partial)
          throw new KeyExists(name, key)
        }
        return { key, bytes, sha256 }
      } catch (error) {
        body.destroy()
        throw inWords(name, key, error)
      }
    },
  }
}

/** The file of a key. Throws on a key that leads out of the root, which is a bug in the caller. */
export function keyPath(root: string, key: string): string {
  if (key === '' || key.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    throw new StoreError(`${JSON.stringify(key)} is no key`)
  }
  return path.join(root, key)
}

async function exists(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw error
    },
  )
}

/** Adds advice to the system's error codes. */
export function inWords(store: string, key: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  const advice: Record<string, string> = {
    ENOSPC: 'no space left: free some, or enlarge the store',
    EDQUOT: 'the quota is used up: free some space, or raise it',
    EROFS: 'it is mounted read-only: see the mount and the kernel log',
    EIO: 'the disk or the share fails: see the kernel log',
    ESTALE: 'the share was replaced under the mount: unmount it and mount it again',
    EACCES: 'no permission to write there',
    EPERM: 'no permission to write there',
  }
  const words = code === undefined ? undefined : advice[code]
  return words === undefined
    ? error
    : new StoreError(`${store}: ${key}: ${words} (${code})`, { cause: error })
}

async function* walk(root: string, prefix: string, after: string): AsyncIterable<Entry> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
  const found: Dirent[] = await readdir(path.join(root, folder), { withFileTypes: true }).catch((error) => {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  })
  // Folders sort with their slash, as their keys do.
  const entries = found
    .map((entry) => ({ entry, key: folder + entry.name + (entry.isDirectory() ? '/' : '') }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  for (const { entry, key } of entries) {
    if (entry.isDirectory()) {
      if (key.startsWith(prefix) && key !== `${lockFolder}/`) yield* walk(root, key, after)
    } else if (key.startsWith(prefix) && key > after && !isPartial(entry.name)) {
      const about = await stat(path.join(root, key)).catch(() => undefined)
      if (about?.isFile()) yield { key, bytes: about.size, modified: about.mtime }
    }
  }
}
