import { accessSync, constants } from 'node:fs'
import path from 'node:path'
import type { BucketName, RestoreSource } from '../../inventory.ts'
import type { Settings } from '../../settings/settings.ts'
import { lookDirectory } from '../../stores/directory/probe.ts'
import { directoryStore } from '../../stores/directory/store.ts'
import { type ObjectStoreName, openStore } from '../../stores/open.ts'
import { S3Failure } from '../../stores/s3/failure.ts'
import type { AppendOnlyStore } from '../../stores/store.ts'
import { messageOf, remembered } from '../../text.ts'

/** A place with archives to restore from. */
export interface ArchiveSource {
  name: RestoreSource
  /** The store that holds a bucket's archives. */
  store(bucket: BucketName): AppendOnlyStore
  /** The folders to search for archives, given the one that a backup uses. */
  folders(folder: string): string[]
  /** Why a bucket cannot be read now; undefined when it can. Takes at most 30 seconds and writes nothing. */
  whyUnreachable(bucket: BucketName): Promise<Reason | undefined>
}

/** Opens those of `names` that hold archives. `root`: the folder that a restore puts everything below. */
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
 * Archives that someone copied to the instance: directly in its /root, or in their usual folders below it. In
 * a drill the instance is the drill's folder, but this machine's /root counts too. Keys are paths from `/`.
 */
function staged(roots: readonly string[]): ArchiveSource {
  const homes = [...new Set(roots.map((root) => path.join(root, 'root/').slice(1)))].filter(isReadable)
  return {
    name: 'root',
    store: () => directoryStore({ name: 'root', root: '/' }),
    folders: (folder) => homes.flatMap((home) => [...new Set([home, home + folder])]),
    whyUnreachable: async () => undefined,
  }
}

function share(settings: Settings): ArchiveSource {
  const { root, cache, requireMount } = settings.sfs
  const look = remembered((folder: string) =>
    whyNot(lookDirectory({ name: 'sfs', root: folder, mount: requireMount ? root : undefined })),
  )
  return {
    name: 'sfs',
    store: (bucket) => openStore('sfs', bucket, settings),
    folders: (folder) => [folder],
    whyUnreachable: (bucket) => look(bucket === 'models' ? modelsOnShare(settings) : cache),
  }
}

/** The models are next to the cache and may exist without it. */
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

/** Mello's own folder: present on Mello, or when it was copied or mounted here. */
function folder(settings: Settings): ArchiveSource {
  const { melloBackups } = settings
  const look = remembered((folder: string) => whyNot(lookDirectory({ name: 'mello', root: folder })))
  return {
    name: 'mello',
    store: (bucket) => openStore('mello', bucket, settings),
    folders: (folder) => [folder],
    async whyUnreachable() {
      const reason = await look(melloBackups)
      // The folder on Mello is set there; this is its default.
      const todo =
        "To have Mello's copies here, on Mello: scp -r ~/backups/verda/. root@<this machine>:/root/"
      return reason && { ...reason, text: `${reason.text}. ${todo}` }
    },
  }
}

function objects(name: ObjectStoreName, settings: Settings): ArchiveSource {
  const prefix = name.toUpperCase()
  const look = remembered(async (bucket: BucketName) => {
    // A small listing: all that matters is that it answers.
    for await (const _ of openStore(name, bucket, settings, { patience: impatience }).list(
      '.comfyume-backup/',
    ))
      break
  })
  return {
    name,
    store: (bucket) => openStore(name, bucket, settings),
    folders: (folder) => [folder],
    async whyUnreachable(bucket) {
      const todo = `set ${prefix}_ACCESS_KEY_ID and ${prefix}_SECRET_ACCESS_KEY${name === 'r2' ? '' : `, ${prefix}_ENDPOINT`}`
      return settings[name] === undefined
        ? { text: `${name} is not set up here: ${todo}` }
        : whyNot(look(bucket))
    },
  }
}

/** Someone waits for the plan: under 20 seconds for an unreachable store. A backup allows minutes. */
const impatience = { connectMs: 6_000, idleMs: 6_000, attempts: 2, backoffMaxMs: 1_000 }

async function whyNot(look: Promise<unknown>): Promise<Reason | undefined> {
  return look.then(() => undefined, reasonOf)
}

/** Why a place cannot be read. */
export interface Reason {
  text: string
  /** The error's code, if any. Buckets with the same code are reported once. */
  code?: string
}

/** What could not be read, by source and bucket: a key may reach one bucket and not another. */
export type Unreachable = ReadonlyMap<RestoreSource, ReadonlyMap<BucketName, Reason>>

export function isUnreachable(unreachable: Unreachable, source: RestoreSource, bucket: BucketName): boolean {
  return unreachable.get(source)?.has(bucket) === true
}

/** Each reason of a source, once. */
export function reasonsOf(unreachable: Unreachable, source: RestoreSource): string[] {
  const seen = new Map<string, string>()
  for (const { text, code = text } of unreachable.get(source)?.values() ?? [])
    if (!seen.has(code)) seen.set(code, text)
  return [...seen.values()]
}

export function reasonOf(error: unknown): Reason {
  const text = messageOf(error)
  return error instanceof S3Failure ? { text, code: error.code } : { text }
}
