import { link, unlink } from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { readRecord } from '../record.ts'
import type { Digests } from './digests.ts'
import { type DirectoryOptions, directoryStore, inWords, keyPath } from './directory.ts'
import { mendPair, placePair } from './pair.ts'
import { commitNew, commitOver, syncFolder, writePartial } from './partial.ts'
import { digestPastCache } from './read-back.ts'
import { KeyExists, type RecordOf, type RotatingStore, Rotten } from './store.ts'

/** The SFS cache: a folder in which an archive may be replaced by its newer self, and removed by rotation. */
export function rotatingDirectoryStore(options: DirectoryOptions): RotatingStore {
  const { name, root } = options
  const directory = directoryStore(options)

  /** Writes the archive aside, then lets `commit` give it its name, with its record around that. */
  async function write(
    key: string,
    body: Readable,
    record: RecordOf,
    digests: Digests | undefined,
    commit: (partial: string, target: string) => Promise<void>,
  ) {
    const target = keyPath(root, key)
    try {
      const { path: partial, bytes, sha256 } = await writePartial(name, target, body, digests)
      const receipt = { key, bytes, sha256 }
      try {
        await placePair(name, target, record(receipt), () => commit(partial, target))
      } catch (error) {
        await unlink(partial).catch(() => {})
        throw error
      }
      return receipt
    } catch (error) {
      throw inWords(name, key, error)
    }
  }

  return {
    ...directory,

    replace: (key, body, record, digests) => write(key, body, record, digests, commitOver),

    createPair: (key, body, record, digests) =>
      write(key, body, record, digests, async (partial, target) => {
        if (!(await commitNew(partial, target))) throw new KeyExists(name, key)
      }),

    async link(from, to, record) {
      const [source, target] = [keyPath(root, from), keyPath(root, to)]
      const { sha256 } = await digestPastCache(source)
      if (sha256 !== readRecord(record)?.sha256) throw new Rotten(name, from)
      try {
        await placePair(name, target, record, async () => {
          await link(source, target)
          await syncFolder(path.dirname(target))
        })
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        if (code === 'EEXIST') throw new KeyExists(name, to)
        if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code ?? ''))
          throw inWords(name, to, error)
        await this.createPair(to, await this.open(from), () => record)
      }
    },

    async remove(key) {
      const target = keyPath(root, key)
      try {
        await unlink(target)
        await syncFolder(path.dirname(target))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw inWords(name, key, error)
      }
    },

    mend: (key) => mendPair(keyPath(root, key)),
  }
}
