import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { sha256 } from '../sources.ts'
import type { StoreName, World } from '../world.ts'

/** A file or object, with its content at the last look. */
export interface Lying {
  sha256: string
  content: Buffer
}

/** Everything in a store by key: each file of a folder, hidden ones too; `<bucket>/<key>` on R2. */
export type View = Map<string, Lying>

export type Views = Record<StoreName, View>

/**
 * Looks at all stores without the project's code. Skips what cannot have changed since the last look: on disk
 * by inode and times, on the S3 server by object identity.
 */
export function viewer(world: World): () => Promise<Views> {
  const files = new Map<string, Lying>()
  const objects = new WeakMap<object, Lying>()

  function folder(root: string): View {
    const view: View = new Map()
    const names = existsSync(root) ? (readdirSync(root, { recursive: true }) as string[]) : []
    for (const name of names.sort()) {
      // These belong to runs, not to backups.
      if (name.startsWith('.locks/')) continue
      const file = path.join(root, name)
      const about = lstatSync(file, { bigint: true })
      if (!about.isFile()) continue
      const id = [about.dev, about.ino, about.size, about.mtimeNs, about.ctimeNs].join(' ')
      const lying = files.get(id) ?? lyingOf(readFileSync(file))
      files.set(id, lying)
      view.set(name, lying)
    }
    return view
  }

  async function buckets(): Promise<View> {
    const view: View = new Map()
    for (const bucket of world.buckets) {
      for (const key of world.r2.keys(bucket)) {
        const object = world.r2.object(bucket, key) as object
        const lying = objects.get(object) ?? lyingOf((await world.r2.content(bucket, key)) as Buffer)
        objects.set(object, lying)
        view.set(`${bucket}/${key}`, lying)
      }
    }
    return view
  }

  return async () => ({
    sfs: folder(world.verda.cache),
    mello: folder(world.disks.mello),
    r2: await buckets(),
  })
}

function lyingOf(content: Buffer): Lying {
  return { sha256: sha256(content), content }
}

/** Whether it is being written, or was when its writer died. */
export function isUnfinished(key: string): boolean {
  const name = key.slice(key.lastIndexOf('/') + 1)
  return name.startsWith('.') || name.endsWith('.next') || name.endsWith('.new')
}
