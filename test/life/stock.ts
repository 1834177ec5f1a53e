import type { StoreName } from '../../lib/inventory.ts'
import type { Files, HeldFile } from './files.ts'
import { sha256Of } from './memory-store.ts'
import { readToken } from './token.ts'
import { archived, violation, type World } from './world.ts'

/** A good copy that truly lies in a store, found without the code under test: its digest is that of the record beside it. */
export interface TrueCopy {
  store: StoreName
  item: string
  key: string
  /** As its record says. */
  time: number
  version: number
  /** Its record is the one that still waits for its name. */
  half: boolean
}

/** What truly lies in all stores, kept up to date with every change of a file. */
export interface Stock {
  /** Oldest first. */
  copiesOf(item: string, store: StoreName): readonly TrueCopy[]
  /** The newest by its record that is not later than `at`. */
  newest(item: string, store: StoreName, at: number): TrueCopy | undefined
  copy(store: StoreName, key: string): TrueCopy | undefined
  /** While it runs, files may go or change: damage by the simulation itself, or a person's deed. */
  tampering<T>(deed: () => T): T
  /** Good archives and all their names in the SFS cache, at most so far. */
  most: Map<string, number>
}

/**
 * Watches the files of all stores. Throws a violation at the moment when the newest good copy of an item goes without a newer one, or when anything at all
 * goes or changes on a store that only grows.
 */
export function watchStock(world: World): Stock {
  const shelves = new Map<string, TrueCopy[]>()
  const byKey = new Map<string, TrueCopy>()
  const contents = new Map<string, HeldFile>()
  let tampered = 0
  const most = new Map<string, number>()
  const names = archived.map(({ name }) => name)

  function follow(store: StoreName, files: Files): void {
    files.onChange = (key) => {
      const archive = key.replace(/\.sha256(\.next)?$/, '')
      if (store !== 'sfs' && tampered === 0) onlyGrows(store, key, files.get(key))
      const item = itemOfKey(names, archive)
      if (item === undefined) return
      const shelf = shelfOf(item, store)
      const before = newestOf(shelf, world.now)
      const old = byKey.get(`${store} ${archive}`)
      const now = trueCopy(store, item, archive, files)
      if (old) shelf.splice(shelf.indexOf(old), 1)
      if (now) insert(shelf, now)
      if (now) byKey.set(`${store} ${archive}`, now)
      else byKey.delete(`${store} ${archive}`)
      most.set(`${item} ${store}`, Math.max(most.get(`${item} ${store}`) ?? 0, shelf.length))
      const after = newestOf(shelf, world.now)
      if (old && now && now.version !== old.version && isHistory(world, old))
        throw violation(world, `a copy of another day was written over: ${archive} on ${store}`)
      // A clock that is ahead dates its successor so, in the same place.
      const succeeded = before?.key === archive && now !== undefined && now.time > before.time
      if (tampered === 0 && before && !succeeded && (after?.time ?? 0) < before.time)
        throw violation(world, `the newest good copy of ${item} on ${store} is gone: ${before.key}`)
    }
  }

  function onlyGrows(store: StoreName, key: string, now: HeldFile | undefined): void {
    const name = `${store} ${key}`
    const before = contents.get(name)
    if (before && before !== now)
      throw violation(world, `${key} on ${store} was ${now ? 'changed' : 'removed'}`)
    contents.set(name, now as HeldFile)
  }

  const shelfOf = (item: string, store: StoreName): TrueCopy[] => {
    const key = `${item} ${store}`
    const shelf = shelves.get(key) ?? []
    shelves.set(key, shelf)
    return shelf
  }
  follow('sfs', world.sfsFiles)
  follow('mello', world.melloFiles)
  for (const files of Object.values(world.r2Files)) follow('r2', files)

  return {
    copiesOf: shelfOf,
    newest: (item, store, at) => newestOf(shelfOf(item, store), at),
    copy: (store, key) => byKey.get(`${store} ${key}`),
    tampering(deed) {
      tampered++
      try {
        return deed()
      } finally {
        tampered--
        contents.clear()
      }
    },
    most,
  }
}

/** Whether a copy is dated on an earlier day than today, by the true time. */
function isHistory({ now }: World, { key, time }: TrueCopy): boolean {
  return time <= now && !key.includes(new Date(now).toISOString().slice(0, 10))
}

function newestOf(shelf: readonly TrueCopy[], at: number): TrueCopy | undefined {
  for (let index = shelf.length - 1; index >= 0; index--) {
    const copy = shelf[index] as TrueCopy
    if (copy.time <= at) return copy
  }
  return undefined
}

/** Of copies with the same time, the later written comes last. */
function insert(shelf: TrueCopy[], copy: TrueCopy): void {
  let place = shelf.length
  while (place > 0 && (shelf[place - 1] as TrueCopy).time > copy.time) place--
  shelf.splice(place, 0, copy)
}

function itemOfKey(names: readonly string[], key: string): string | undefined {
  const file = key.slice(key.lastIndexOf('/') + 1)
  return names.find((name) => file.startsWith(`${name}-20`) && file.endsWith('.tar.gz'))
}

/** Read with an eye of its own: `# time:` and the digest, of whichever of the two records fits. */
function trueCopy(store: StoreName, item: string, key: string, files: Files): TrueCopy | undefined {
  const archive = files.get(key)
  if (archive === undefined) return undefined
  for (const [record, half] of [
    [files.get(`${key}.sha256`), false],
    [files.get(`${key}.sha256.next`), true],
  ] as const) {
    const text = record?.content.toString() ?? ''
    const [, digest] = /^([0-9a-f]{64}) {2}/m.exec(text) ?? []
    const [, time] = /^# time: (\S+)$/m.exec(text) ?? []
    const token = readToken(archive.content)
    if (time === undefined || token?.item !== item || digest !== sha256Of(archive.content)) continue
    return { store, item, key, time: Date.parse(time), version: token.version, half }
  }
  return undefined
}
