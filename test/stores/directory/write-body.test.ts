import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeBody } from '../../../lib/stores/directory/write-body.ts'

let folder: string
let file: FileHandle
beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'write-body-'))
  file = await open(path.join(folder, 'file'), 'w')
})
afterEach(async () => {
  await file.close()
  rmSync(folder, { recursive: true })
})
const written = () => readFileSync(path.join(folder, 'file'))

async function* pieces(chunks: readonly Buffer[], failure?: Error) {
  yield* chunks
  if (failure) throw failure
}

test('whatever the pieces are, the file is all of them, from where it began', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 700_000 }), { maxLength: 8 }),
      fc.integer({ min: 0, max: 1000 }),
      fc.integer({ min: 100_000, max: 400_000 }),
      async (sizes, at, most) => {
        await file.truncate(0)
        const chunks = sizes.map((size, index) => Buffer.alloc(size, index + 1))
        const seen: Buffer[] = []
        // A disk that takes less than it is given, as one that fills up or a share may.
        const slow = Object.create(file, {
          writev: {
            value: (buffers: Buffer[], position: number) =>
              file.write(buffers[0] as Buffer, 0, Math.min(most, buffers[0]?.length ?? 0), position),
          },
        }) as FileHandle
        const end = await writeBody(slow, pieces(chunks), {
          at,
          onChunk: (chunk) => seen.push(chunk),
        })
        const whole = Buffer.concat(chunks)
        expect(end).toBe(at + whole.length)
        expect(Buffer.concat(seen).equals(whole)).toBe(true)
        expect(written().subarray(at).equals(whole)).toBe(true)
      },
    ),
    { numRuns: 30 },
  )
})

test('what had come when the body failed is in the file', async () => {
  const chunks = [Buffer.alloc(10, 1), Buffer.alloc(2_000_000, 2), Buffer.alloc(30, 3)]
  const failing = writeBody(file, pieces(chunks, new Error('reset')), { onChunk: () => {} })
  await expect(failing).rejects.toThrow('reset')
  expect(written().equals(Buffer.concat(chunks))).toBe(true)
})

test.each([1, 2, 3])('write %d fails: it says so, and no further piece is taken in vain', async (which) => {
  let writes = 0
  const full = Object.create(file, {
    writev: {
      value: async (buffers: Buffer[], position: number) => {
        if (++writes >= which) throw new Error('ENOSPC: no space left on device, write')
        return file.writev(buffers, position)
      },
    },
  }) as FileHandle
  let taken = 0
  const chunks = Array.from({ length: 10 }, () => Buffer.alloc(1_500_000, 1))
  const failing = writeBody(full, pieces(chunks), { onChunk: () => taken++ })
  await expect(failing).rejects.toThrow('ENOSPC')
  expect(writes).toBe(which)
  expect(taken).toBe(which + 1)
})
