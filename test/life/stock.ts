import type { StoreName } from '../../lib/inventory.ts'
import type { Files, HeldFile } from './files.ts'
import { sha256Of } from './memory-store.ts'
import { readToken } from './token.ts'
import { archived, violation, type World } from './world.ts'

/** A good copy, found without the code under test: its digest matches the record next to it. */
export interface TrueCopy {
  store: StoreName
  item: string
  key: string
  /** From its record. */
  time: number
  version: number
  /** Its record is still waiting for its final name. */
  half: boolean
  sha256: string
  /** For an increment: what it builds on. */
  base?: { key: string; sha256: string }
}

/** What is really in all stores, updated with every change of a file. */
export interface Stock {
  /** Oldest first. */
  copiesOf(item: string, store: StoreName): readonly TrueCopy[]
  /** The newest by its record, no later than `at`. */
  newest(item: string, store: StoreName, at: number): TrueCopy | undefined
  copy(store: StoreName, key: string): TrueCopy | undefined
  /** A copy and the existing archives that it builds on. */
  chain(store: StoreName, key: string): string[]
  /** Whether any base of an item's increments was damaged. */
  hasLostLink(item: string, stores: readonly StoreName[]): boolean
  /** While it runs, files may go or change: damage by the simulation, or a person's act. */
  tampering<T>(deed: () => T): T
  /** The most good archives seen in the SFS cache, counting all their names. */
  most: Map<string, number>
}

/**
 * Watches all stores. Throws a violation as soon as an item loses its newest good copy without a newer one,
 * or when anything at all is removed or changed on a store that only grows.
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
      // A clock that runs ahead gives the successor a later time under the same key.
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

  /** Including everything that it builds on in its store. */
  function isWhole({ store, base }: TrueCopy): boolean {
    if (base === undefined) return true
    const below = byKey.get(`${store} ${base.key}`)
    return below?.sha256 === base.sha256 && isWhole(below)
  }

  function newestOf(shelf: readonly TrueCopy[], at: number): TrueCopy | undefined {
    return shelf.findLast((copy) => copy.time <= at && isWhole(copy))
  }

  return {
    copiesOf: shelfOf,
    newest: (item, store, at) => newestOf(shelfOf(item, store), at),
    copy(store, key) {
      const copy = byKey.get(`${store} ${key}`)
      return copy && isWhole(copy) ? copy : undefined
    },
    chain(store, key) {
      const base = byKey.get(`${store} ${key}`)?.base
      return [key, ...(base ? this.chain(store, base.key) : [])]
    },
    hasLostLink: (item, stores) =>
      stores.some((store) => shelfOf(item, store).some((copy) => !isWhole(copy))),
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

/** Whether a copy is from an earlier day, by the true time. */
function isHistory({ now }: World, { key, time }: TrueCopy): boolean {
  return time <= now && !key.includes(new Date(now).toISOString().slice(0, 10))
}

/** Of copies with the same time, the one written later comes last. */
function insert(shelf: TrueCopy[], copy: TrueCopy): void {
  let place = shelf.length
  while (place > 0 && (shelf[place - 1] as TrueCopy).time > copy.time) place--
  shelf.splice(place, 0, copy)
}

function itemOfKey(names: readonly string[], key: string): string | undefined {
  const file = key.slice(key.lastIndexOf('/') + 1)
  return names.find((name) => file.startsWith(`${name}-20`) && file.endsWith('.tar.gz'))
}

/** Reads `# time:` and the digest independently, from whichever of the two records fits. */
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
    if (
      time === undefined ||
      token?.item !== item ||
      digest === undefined ||
      digest !== sha256Of(archive.content)
    )
      continue
    const [, sha256, base] = /^[0-9a-f]{64} {2}.*\n([0-9a-f]{64}) {2}(.*)$/m.exec(text) ?? []
    return {
      store,
      item,
      key,
      time: Date.parse(time),
      version: token.version,
      half,
      sha256: digest,
      ...(sha256 && base ? { base: { key: key.slice(0, key.lastIndexOf('/') + 1) + base, sha256 } } : {}),
    }
  }
  return undefined
}
