import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { makeDigests } from '../../lib/stores/digests.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const content = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 })

/** The content in pieces, each with where it begins. */
function pieces(all: Buffer, lengths: readonly number[]): [number, Buffer][] {
  const cut: [number, Buffer][] = []
  for (let at = 0; at < all.length; ) {
    const piece = all.subarray(at, at + (lengths[cut.length % lengths.length] as number))
    cut.push([at, piece])
    at += piece.length
  }
  return cut
}

test('one digest for all readers, however each cuts the content, and whoever is ahead', () => {
  fc.assert(
    fc.property(
      content,
      fc.array(sizes, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(3)),
      (all, cuts, order) => {
        const digests = makeDigests()
        const readers = cuts.map((lengths) => pieces(all, lengths))
        const turns = [...order, ...readers.flatMap((left, who) => left.map(() => who))]
        for (const who of turns) {
          const next = readers[who]?.shift()
          if (next !== undefined) digests.whole.add(...next)
        }
        for (const _ of readers) expect(digests.whole.hex()).toBe(sha256(all))
      },
    ),
  )
})

test('a part is told by where it begins and how long it is', () => {
  fc.assert(
    fc.property(content, sizes, (all, lengths) => {
      const digests = makeDigests()
      for (const [from, piece] of pieces(all, lengths)) {
        const half = piece.length >> 1
        const [part, again] = [digests.part(from, piece.length), digests.part(from, piece.length)]
        part.add(from, piece.subarray(0, half))
        again.add(from, piece)
        part.add(from + half, piece.subarray(half))
        expect([part.hex(), again.hex()]).toEqual([sha256(piece), sha256(piece)])
      }
      const long = digests.part(0, all.length + 1)
      long.add(0, all)
      expect(long.hex()).toBe(sha256(all))
    }),
  )
})
