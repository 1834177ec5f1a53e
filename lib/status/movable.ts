import { type KnownCopy, knownCopy } from '../copies.ts'
import type { Contents } from './contents.ts'

/** A copy on Mello of which the very same bytes are on R2: a person may move it away to make room. */
export interface Movable {
  item: string
  key: string
  bytes: number
  sha256: string
  /** On R2. */
  alsoAt: string
}

/** Largest first. The newest good copy of an item is not among them: it is one of the three that the facts promise. */
export function movableOf(contents: readonly Contents[]): Movable[] {
  const onR2 = new Map<string, string>()
  for (const one of contents.filter(({ shelf }) => shelf.store === 'r2')) {
    for (const { expected, copies } of one.archives)
      for (const copy of goodCopies(one, copies))
        onR2.set(`${expected.item.name} ${copy.record.sha256}`, copy.key)
  }
  return spare(contents)
    .flatMap(({ item, copy }) => {
      const { sha256 } = copy.record
      const alsoAt = onR2.get(`${item} ${sha256}`)
      return alsoAt === undefined
        ? []
        : [{ item, key: copy.key, bytes: copy.bytes as number, sha256, alsoAt }]
    })
    .sort((a, b) => b.bytes - a.bytes)
}

/** The records on R2 to be read so that movableOf can tell: those of archives as large as a spare one on Mello, the largest first, at most `most`. */
export function recordsToCompare(contents: readonly Contents[], most: number): Map<Contents, string[]> {
  const wanted = new Map<Contents, string[]>()
  let left = most
  const spares = spare(contents).sort((a, b) => (b.copy.bytes as number) - (a.copy.bytes as number))
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

/** Good copies on Mello with something newer of the same item beside them. */
function spare(contents: readonly Contents[]): { item: string; copy: KnownCopy }[] {
  return contents
    .filter(({ shelf }) => shelf.store === 'mello')
    .flatMap((one) =>
      one.archives.flatMap(({ expected, copies }) => {
        const good = goodCopies(one, copies).sort((a, b) => b.time.getTime() - a.time.getTime())
        return good.slice(1).map((copy) => ({ item: expected.item.name, copy }))
      }),
    )
}

function goodCopies({ shelf }: Contents, copies: Contents['archives'][number]['copies']): KnownCopy[] {
  return copies.flatMap((copy) => {
    const text = copy.recordKey === undefined ? undefined : shelf.texts[copy.recordKey]
    const known = text === undefined ? undefined : knownCopy(copy, text)
    return known?.good && known.time <= shelf.at ? [known] : []
  })
}
