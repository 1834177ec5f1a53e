import { accessSync, constants } from 'node:fs'
import path from 'node:path'
import type { BucketName, RestoreSource } from '../inventory.ts'
import { messageOf } from '../message.ts'
import type { Settings } from '../settings.ts'
import { directoryStore } from '../stores/directory.ts'
import { type ObjectStoreName, openStore } from '../stores/open.ts'
import { lookDirectory } from '../stores/probe.ts'
import type { AppendOnlyStore } from '../stores/store.ts'

/** A place that copies come from, as far as it holds archives. */
export interface ArchiveSource {
  name: RestoreSource
  /** The part of it that holds a bucket's archives. */
  store(bucket: BucketName): AppendOnlyStore
  /** The folders of a store in which archives may lie, given the one in which a backup puts them. */
  folders(folder: string): string[]
  /** Why nothing of a bucket can be had from it now; undefined when it can be read. Answers within half a minute, and writes nothing. */
  away(bucket: BucketName): Promise<string | undefined>
}

/** The sources of archives among `names`; `root` is the folder below which a restore puts everything. */
export function openSources(
  names: readonly RestoreSource[],
  settings: Settings,
  root: string,
): ArchiveSource[] {
  const open: Record<RestoreSource, () => ArchiveSource[]> = {
    root: () => [staged([root, settings.roots.verda])],
    sfs: () => [share(settings)],
    r2: () => [objects('r2', settings)],
    hetzner: () => [objects('hetzner', settings)],
    mello: () => [folder(settings)],
    git: () => [],
  }
  return names.flatMap((name) => open[name]())
}

/**
 * Archives that somebody copied to the instance: at the top of its /root, or in the folders that they have elsewhere. In a drill, the
 * instance is the folder that is restored to, but this machine's /root counts as well. Keys are paths from `/`.
 */
function staged(roots: readonly string[]): ArchiveSource {
  const homes = [...new Set(roots.map((root) => path.join(root, 'root/').slice(1)))].filter(isReadable)
  return {
    name: 'root',
    store: () => directoryStore({ name: 'root', root: '/' }),
    folders: (folder) => homes.flatMap((home) => [...new Set([home, home + folder])]),
    away: async () => undefined,
  }
}

function share(settings: Settings): ArchiveSource {
  const { root, cache, requireMount } = settings.sfs
  const look = remembered((folder: string) =>
    reasonOf(lookDirectory({ name: 'sfs', root: folder, ...(requireMount ? { mount: root } : {}) })),
  )
  return {
    name: 'sfs',
    store: (bucket) => openStore('sfs', bucket, settings),
    folders: (folder) => [folder],
    away: (bucket) => look(bucket === 'models' ? modelsOnShare(settings) : cache),
  }
}

/** The models lie beside the cache, and may be there when that is not. */
export function modelsOnShare({ sfs }: Settings): string {
  return path.join(sfs.root, 'models')
}

function isReadable(folder: string): boolean {
  try {
    accessSync(`/${folder}`, constants.R_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Mello's own folder: there when this runs on Mello, or when it was copied or mounted here. */
function folder(settings: Settings): ArchiveSource {
  const { melloBackups } = settings
  const look = remembered((folder: string) => reasonOf(lookDirectory({ name: 'mello', root: folder })))
  return {
    name: 'mello',
    store: (bucket) => openStore('mello', bucket, settings),
    folders: (folder) => [folder],
    async away() {
      const reason = await look(melloBackups)
      // Where they lie on Mello is Mello's setting; this is its default.
      return (
        reason &&
        `${reason}. To have Mello's copies here, on Mello: scp -r ~/backups/verda/. root@<this machine>:/root/`
      )
    },
  }
}

function objects(name: ObjectStoreName, settings: Settings): ArchiveSource {
  const prefix = name.toUpperCase()
  const look = remembered(async (bucket: BucketName) => {
    // What is asked for is small; that it answers is what counts.
    for await (const _ of openStore(name, bucket, settings, impatience).list('.comfyume-backup/')) break
  })
  return {
    name,
    store: (bucket) => openStore(name, bucket, settings),
    folders: (folder) => [folder],
    async away(bucket) {
      if (settings[name] === undefined)
        return `${name} is not set up here: set ${prefix}_ACCESS_KEY_ID and ${prefix}_SECRET_ACCESS_KEY${name === 'r2' ? '' : `, ${prefix}_ENDPOINT`}`
      return reasonOf(look(bucket))
    },
  }
}

/** Somebody waits for the plan: less than twenty seconds for a store that is away, which a backup gives minutes. */
const impatience = { connectMs: 6_000, idleMs: 6_000, attempts: 2, backoffMaxMs: 1_000 }

/** Asks once, however often the answer is wanted. */
function remembered<K extends string, T>(ask: (of: K) => Promise<T>): (of: K) => Promise<T> {
  const answers = new Map<K, Promise<T>>()
  return (of) => {
    const answer = answers.get(of) ?? ask(of)
    answers.set(of, answer)
    return answer
  }
}

async function reasonOf(look: Promise<unknown>): Promise<string | undefined> {
  return look.then(
    () => undefined,
    (error) => messageOf(error),
  )
}
