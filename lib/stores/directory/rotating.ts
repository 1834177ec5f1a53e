import { link, readFile, rename, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { recordName } from '../../naming.ts'
import { readRecord } from '../../record.ts'
import type { Digests } from '../digests.ts'
import { KeyExists, mostSmallBytes, type RecordOf, type RotatingStore, Rotten } from '../store.ts'
import type { DirectoryOptions } from './probe.ts'
import { digestPastCache } from './read-back.ts'
import { directoryStore, inWords, keyPath } from './store.ts'
import { commitNew, commitOver, syncFolder, writePartial } from './write.ts'

/** The SFS cache: the only folder where archives can be replaced and removed. */
export function rotatingDirectoryStore(options: DirectoryOptions): RotatingStore {
  const { name, root } = options
  const directory = directoryStore(options)

  /** Writes a partial, then `commit` renames it between the two steps that place its record. */
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

/**
 * Puts an archive and its record in place as a pair, although only single files can be renamed. The new
 * record is first `<record>.next`, then the archive is renamed, then the record. After an interruption at
 * most one of the two records fits the archive, and mendPair keeps that one.
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
    // The archive may be in place already, as the only copy of its day. If this fails too, the next run
    // repairs it.
    await mendPair(archive).catch(() => {})
    throw error
  }
}

/** Finishes or undoes an interrupted placePair: keeps the record that fits the archive. */
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
