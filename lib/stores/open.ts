import type { BucketName, StoreName } from '../inventory.ts'
import type { ObjectStoreSettings, Settings } from '../settings/settings.ts'
import type { DirectoryOptions } from './directory/probe.ts'
import { rotatingDirectoryStore } from './directory/rotating.ts'
import { directoryStore } from './directory/store.ts'
import type { Limit } from './pool.ts'
import type { OnRetry, Patience, S3Access } from './s3/client.ts'
import { type S3Store, s3Store } from './s3/store.ts'
import type { AppendOnlyStore, RotatingStore } from './store.ts'

export type ObjectStoreName = 'r2' | 'hetzner'

export interface Opening {
  /** Use less than for a backup when a user waits for the answer. */
  patience?: Partial<Patience>
  /** Limits uploads to object stores. Share one between all stores of a process. */
  limit?: Limit | undefined
  /** Called when a request to an object store is retried. */
  onRetry?: OnRetry
}

/** Opens a store as the settings describe it. For an object store, opens the one bucket. */
export function openStore(
  name: StoreName,
  bucket: BucketName,
  settings: Settings,
  opening?: Opening,
): AppendOnlyStore {
  switch (name) {
    case 'sfs':
      return openSfs(settings)
    case 'mello':
      return directoryStore(directoryOf(name, settings))
    case 'r2':
    case 'hetzner':
      return openObjectStore(name, bucket, settings, opening)
  }
}

/** The only store that rotates. */
export function openSfs(settings: Settings): RotatingStore {
  return rotatingDirectoryStore(directoryOf('sfs', settings))
}

export function directoryOf(name: 'sfs' | 'mello', { sfs, melloBackups }: Settings): DirectoryOptions {
  if (name === 'mello') return { name, root: melloBackups }
  return { name, root: sfs.cache, mount: sfs.requireMount ? sfs.root : undefined }
}

export function openObjectStore(
  name: ObjectStoreName,
  bucket: BucketName,
  settings: Settings,
  opening: Opening = {},
): S3Store {
  return s3Store({ ...objectStoreAccess(name, bucket, settings), ...opening })
}

export function objectStoreAccess(name: ObjectStoreName, bucket: BucketName, settings: Settings): S3Access {
  const access = settings[name]
  if (!access) throw new Error(`${name} has no settings`)
  return {
    name,
    endpoint: access.endpoint,
    region: regionOf(access),
    bucket: access.buckets[bucket],
    accessKeyId: access.accessKeyId,
    secretAccessKey: access.secretAccessKey.reveal(),
    sessionToken: access.sessionToken?.reveal(),
  }
}

/** Hetzner's region is the first part of the host name, R2's is `auto`; others use `us-east-1`. */
function regionOf({ endpoint }: ObjectStoreSettings): string {
  const { hostname } = new URL(endpoint)
  if (hostname.endsWith('.your-objectstorage.com')) return hostname.split('.')[0] as string
  return hostname.endsWith('.r2.cloudflarestorage.com') ? 'auto' : 'us-east-1'
}
