import { foundAmong, type Verified } from '../../backup/verified.ts'
import type { Copy, KnownCopy } from '../../copies.ts'
import type { StoreName } from '../../inventory.ts'
import { type Contents, knownOn } from './contents.ts'
import type { Expected } from './expected.ts'

/** A copy on Mello whose exact bytes were read back from R2: it may be moved away to free space. */
export interface Movable {
  item: string
  key: string
  bytes: number
  sha256: string
  /** Its key on R2. */
  alsoAt: string
}

/** Largest first. Never an item's newest good copy: it is one of the three that the facts promise. */
export function movableOf(
  contents: readonly Contents[],
  verified: ReadonlyMap<StoreName, Verified> = new Map(),
): Movable[] {
  const onR2 = new Map<string, string>()
  for (const one of contents.filter(({ shelf }) => shelf.store === 'r2')) {
    const proven = new Set(one.shelf.files.flatMap((file) => (file.proven ? [file.key] : [])))
    for (const { expected, copies } of one.archives)
      for (const copy of goodCopies(one, expected, copies, verified))
        if (proven.has(copy.key)) onR2.set(`${expected.item.name} ${copy.record.sha256}`, copy.key)
  }
  return spare(contents, verified)
    .flatMap(({ item, copy }) => {
      const { sha256 } = copy.record
      const alsoAt = onR2.get(`${item} ${sha256}`)
      return alsoAt === undefined
        ? []
        : [{ item, key: copy.key, bytes: copy.bytes as number, sha256, alsoAt }]
    })
    .sort((a, b) => b.bytes - a.bytes)
}

/** R2 records that movableOf needs: of archives as large as a spare one, largest first, at most `most`. */
export function recordsToCompare(contents: readonly Contents[], most: number): Map<Contents, string[]> {
  const wanted = new Map<Contents, string[]>()
  let left = most
  const spares = spare(contents, new Map()).sort(
    (a, b) => (b.copy.bytes as number) - (a.copy.bytes as number),
  )
  for (const { item, copy } of spares) {
    for (const one of contents.filter(({ shelf }) => shelf.store === 'r2')) {
      const alike = one.archives
        .filter(({ expected }) => expected.item.name === item)
        .flatMap(({ copies }) => copies)
        .filter(
          ({ bytes, recordKey }) =>
            bytes === copy.bytes && recordKey !== undefined && !(recordKey in one.shelf.texts),
        )
      for (const { recordKey } of alike.slice(0, 2)) {
        if (left-- <= 0) return wanted
        wanted.set(one, [...(wanted.get(one) ?? []), recordKey as string])
      }
    }
  }
  return wanted
}

/** Good copies on Mello that have a newer one of the same item. */
function spare(
  contents: readonly Contents[],
  verified: ReadonlyMap<StoreName, Verified>,
): { item: string; copy: KnownCopy }[] {
  return contents
    .filter(({ shelf }) => shelf.store === 'mello')
    .flatMap((one) =>
      one.archives.flatMap(({ expected, copies }) => {
        const good = goodCopies(one, expected, copies, verified).sort(
          (a, b) => b.time.getTime() - a.time.getTime(),
        )
        // A base of a later copy is never spare.
        const bases = new Set(good.map(({ record }) => record.increment?.base.archive))
        return good
          .slice(1)
          .filter(({ record }) => !bases.has(record.archive))
          .map((copy) => ({ item: expected.item.name, copy }))
      }),
    )
}

function goodCopies(
  { shelf }: Contents,
  { bucket, store }: Expected,
  copies: readonly Copy[],
  verified: ReadonlyMap<StoreName, Verified>,
): KnownCopy[] {
  return copies.flatMap((copy) => {
    if (foundAmong(verified.get(store)?.broken, bucket, copy)) return []
    const known = knownOn(shelf, copy)
    return known?.good && known.time <= shelf.at ? [known] : []
  })
}
