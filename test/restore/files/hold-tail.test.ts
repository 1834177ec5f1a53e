import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ArchiveRecord } from '../../../lib/record.ts'
import { BadArchive, holdTail } from '../../../lib/restore/files/unpack.ts'

const kept = 64 * 1024
const content = Buffer.from(Array.from({ length: 200_000 }, (_, n) => (n * 7919) % 251))
const recordOf = (bytes: Buffer): ArchiveRecord => ({
  archive: 'x-2026-11-24.tar.gz',
  sha256: createHash('sha256').update(bytes).digest('hex'),
  bytes: bytes.length,
})
async function* pieces(bytes: Buffer, sizes: readonly number[], end?: Error) {
  let at = 0
  for (let turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] as number
    yield bytes.subarray(at, at + size)
    at += size
  }
  if (end) throw end
}
/** What came through, and the error that ended it. */
async function through(
  source: AsyncIterable<Buffer>,
  record?: ArchiveRecord,
  onBytes?: (bytes: number) => void,
) {
  const seen = { bytes: 0, sha256: '' }
  const chunks: Buffer[] = []
  let error: Error | undefined
  try {
    for await (const chunk of holdTail(source, record, seen, onBytes)) chunks.push(Buffer.from(chunk))
  } catch (thrown) {
    error = thrown as Error
  }
  return { bytes: Buffer.concat(chunks), seen, error }
}

test('in whatever pieces it comes, all of it passes, and is counted and digested', async () => {
  const sizes = fc.array(
    fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.constantFrom(kept - 1, kept, kept + 1, 150_000)),
    { minLength: 1, maxLength: 6 },
  )
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: content.length }), sizes, async (length, parts) => {
      const bytes = content.subarray(0, length)
      let told = 0
      const {
        bytes: passed,
        seen,
        error,
      } = await through(pieces(bytes, parts), recordOf(bytes), (count) => {
        told += count
      })
      expect(error).toBeUndefined()
      expect(passed.equals(bytes)).toBe(true)
      expect(seen).toEqual({ bytes: length, sha256: recordOf(bytes).sha256 })
      expect(told).toBe(length)
    }),
    { numRuns: 40, seed: 4 },
  )
})

test.each([[[1000]], [[kept]], [[150_000]], [[1, 150_000]]])(
  'the end is kept back until the digest is known to be right (pieces of %j)',
  async (sizes) => {
    const other = { ...recordOf(content), sha256: 'b'.repeat(64) }
    const { bytes, error } = await through(pieces(content, sizes), other)
    expect(error).toBeInstanceOf(BadArchive)
    expect(error?.message).toMatch(/^it is not what its record says: sha256 [0-9a-f]{12}… for bbbbbbbbbbbb…$/)
    expect(bytes.length).toBeLessThanOrEqual(content.length - kept)
    expect(content.subarray(0, bytes.length).equals(bytes)).toBe(true)
  },
)

test('an archive smaller than what is kept back gives nothing away', async () => {
  const { bytes, error } = await through(pieces(content.subarray(0, 1000), [100]), recordOf(content))
  expect(bytes.length).toBe(0)
  expect(error?.message).toMatch(/ and 1000 bytes of 200000$/)
})

test('a source that fails is a bad archive, and its end is not given', async () => {
  const { bytes, error } = await through(pieces(content, [9000], new Error('reset')), recordOf(content))
  expect(error).toEqual(new BadArchive('it could not be read to its end: reset'))
  expect(bytes.length).toBeLessThanOrEqual(content.length - kept)
})

test('without a record everything passes', async () => {
  expect((await through(pieces(content, [777]))).bytes.equals(content)).toBe(true)
})

test('who leaves early ends the source', async () => {
  let ended = false
  async function* source() {
    try {
      yield* pieces(content, [70_000])
    } finally {
      ended = true
    }
  }
  for await (const _ of holdTail(source(), undefined, { bytes: 0, sha256: '' })) break
  expect(ended).toBe(true)
})
