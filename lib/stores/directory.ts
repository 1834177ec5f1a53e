import type { Dirent } from 'node:fs'
import { lstat, open as openFile, readdir, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { cleanPartials, commitNew, isPartial, writePartial } from './partial.ts'
import { readPastCache } from './past-cache.ts'
import { lookAtDirectory, probeDirectory } from './probe.ts'
import { type AppendOnlyStore, type Entry, KeyExists, NoSuchKey, StoreError } from './store.ts'

export interface DirectoryOptions {
  /** For messages: `sfs`, `mello`. */
  name: string
  /** Absolute; a key is a path below it. Made when it is first written to. */
  root: string
  /** A folder that must be a mount point, such as the share that `root` lies on. */
  mount?: string
}

/** A store in a folder: keys are paths below it, what is being written is a hidden partial beside its target. */
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

    list: (prefix) => walk(root, prefix),

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

/** The file of a key. A key that would lead out of the root is a defect of the caller. */
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

/** The system's error codes, said so that one knows what to do. */
export function inWords(store: string, key: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  const advice: Record<string, string> = {
    ENOSPC: 'no room left: free some, or make the store larger',
    EDQUOT: 'the quota is used up: free some room, or raise it',
    EROFS: 'it is mounted read-only: see the mount and the log of the kernel',
    EIO: 'the disk or the share fails: see the log of the kernel',
    ESTALE: 'the share was exchanged under the mount: unmount it and mount it again',
    EACCES: 'no right to write there',
    EPERM: 'no right to write there',
  }
  const words = code === undefined ? undefined : advice[code]
  return words === undefined
    ? error
    : new StoreError(`${store}: ${key}: ${words} (${code})`, { cause: error })
}

async function* walk(root: string, prefix: string): AsyncIterable<Entry> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
  const found: Dirent[] = await readdir(path.join(root, folder), { withFileTypes: true }).catch((error) => {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  })
  // A folder sorts as its keys do: with the slash that follows its name.
  const entries = found
    .map((entry) => ({ entry, key: folder + entry.name + (entry.isDirectory() ? '/' : '') }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  for (const { entry, key } of entries) {
    if (entry.isDirectory()) {
      if (key.startsWith(prefix)) yield* walk(root, key)
    } else if (key.startsWith(prefix) && !isPartial(entry.name)) {
      const about = await stat(path.join(root, key)).catch(() => undefined)
      if (about?.isFile()) yield { key, bytes: about.size, modified: about.mtime }
    }
  }
}
