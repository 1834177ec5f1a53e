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
  /** Why nothing can be had from it now; undefined when it can be read. Answers within a bounded time, and writes nothing. */
  away(): Promise<string | undefined>
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
  return {
    name: 'sfs',
    store: (bucket) => openStore('sfs', bucket, settings),
    folders: (folder) => [folder],
    async away() {
      return reasonOf(lookDirectory({ name: 'sfs', root: cache, ...(requireMount ? { mount: root } : {}) }))
    },
  }
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
  return {
    name: 'mello',
    store: (bucket) => openStore('mello', bucket, settings),
    folders: (folder) => [folder],
    async away() {
      const reason = await reasonOf(lookDirectory({ name: 'mello', root: melloBackups }))
      if (reason === undefined) return undefined
      return `${reason}. From Mello, its copies come with: scp -r ${melloBackups}/. root@<this machine>:/root/`
    },
  }
}

function objects(name: ObjectStoreName, settings: Settings): ArchiveSource {
  const prefix = name.toUpperCase()
  return {
    name,
    store: (bucket) => openStore(name, bucket, settings),
    folders: (folder) => [folder],
    async away() {
      if (settings[name] === undefined)
        return `${name} is not set up here: ${prefix}_ACCESS_KEY_ID and ${prefix}_SECRET_ACCESS_KEY${name === 'r2' ? '' : `, ${prefix}_ENDPOINT`}`
      return undefined
    },
  }
}

async function reasonOf(look: Promise<unknown>): Promise<string | undefined> {
  return look.then(
    () => undefined,
    (error) => messageOf(error),
  )
}
