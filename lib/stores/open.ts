import type { BucketName, StoreName } from '../inventory.ts'
import type { ObjectStoreSettings, Settings } from '../settings.ts'
import { directoryStore } from './directory.ts'
import { rotatingDirectoryStore } from './rotating-directory.ts'
import { type S3Store, s3Store } from './s3.ts'
import type { Patience, S3Access } from './s3-client.ts'
import type { AppendOnlyStore, RotatingStore } from './store.ts'

export type ObjectStoreName = 'r2' | 'hetzner'

/** The store of that name as the settings have it; of an object store the part that is one bucket, and how long it is waited for. */
export function openStore(
  name: StoreName,
  bucket: BucketName,
  settings: Settings,
  patience?: Partial<Patience>,
): AppendOnlyStore {
  switch (name) {
    case 'sfs':
      return openSfs(settings)
    case 'mello':
      return directoryStore({ name, root: settings.melloBackups })
    case 'r2':
    case 'hetzner':
      return openObjectStore(name, bucket, settings, patience)
  }
}

/** The only store that rotates. */
export function openSfs(settings: Settings): RotatingStore {
  const { root, cache, requireMount } = settings.sfs
  return rotatingDirectoryStore({ name: 'sfs', root: cache, ...(requireMount ? { mount: root } : {}) })
}

/** One bucket. `patience`: where somebody waits for an answer, less of it than a backup has. */
export function openObjectStore(
  name: ObjectStoreName,
  bucket: BucketName,
  settings: Settings,
  patience?: Partial<Patience>,
): S3Store {
  return s3Store({ ...objectStoreAccess(name, bucket, settings), ...(patience && { patience }) })
}

/** How one bucket is reached. */
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
    ...(access.sessionToken && { sessionToken: access.sessionToken.reveal() }),
  }
}

/**
 * Hetzner's regions are the first part of the host's name, and R2 has the one region `auto`. Other servers have `us-east-1` unless
 * they were told otherwise, and some refuse every other.
 */
function regionOf({ endpoint }: ObjectStoreSettings): string {
  const { hostname } = new URL(endpoint)
  if (hostname.endsWith('.your-objectstorage.com')) return hostname.split('.')[0] as string
  return hostname.endsWith('.r2.cloudflarestorage.com') ? 'auto' : 'us-east-1'
}
