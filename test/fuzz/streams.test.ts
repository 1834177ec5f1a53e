import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { errorLines } from '../../lib/hosts/lines.ts'
import { framing, wrapScript } from '../../lib/hosts/script.ts'
import { tries } from './tries.ts'

/** The marks of a real run: nobody who makes content knows them before. */
const { begin, end } = wrapScript('true', [])
const forged = [
  Buffer.from(`@comfyume-end ${randomBytes(8).toString('hex')} 0 0\n`),
  Buffer.from('@comfyume-end '),
  Buffer.from('@comfyume-begin '),
  end.subarray(0, -1),
  begin,
  Buffer.from(' 0 0\n'),
]
const bytes = fc.uint8Array({ maxLength: 2000 }).map((each) => Buffer.from(each))
const content = fc
  .array(fc.oneof(bytes, fc.constantFrom(...forged), fc.constant(Buffer.alloc(70_000, 'y'))), {
    maxLength: 6,
  })
  .map((parts) => Buffer.concat(parts))
const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 70_000 })), {
  minLength: 1,
  maxLength: 8,
})

function* chunks(all: Buffer, lengths: readonly number[]): Generator<Buffer> {
  for (let at = 0, n = 0; at < all.length; n++) {
    const size = (lengths[n % lengths.length] ?? 1) + Math.floor(all.length / 3000)
    yield all.subarray(at, at + size)
    at += size
  }
}

function read(all: Buffer, lengths: readonly number[]) {
  const output = framing({ begin, end })
  const parts = [...chunks(all, lengths)].map((chunk) => output.take(chunk))
  const { rest, exitCodes } = output.finish()
  return { bytes: Buffer.concat([...parts, rest]), exitCodes }
}

test('whatever a script prints, in whatever pieces, its bytes come and its end is its own', () => {
  fc.assert(
    fc.property(
      bytes,
      content,
      sizes,
      fc.array(fc.nat(255), { minLength: 1, maxLength: 4 }),
      (banner, all, lengths, codes) => {
        const whole = Buffer.concat([banner, begin, all, end, Buffer.from(` ${codes.join(' ')}\n`)])
        const heard = read(whole, lengths)
        expect(heard.exitCodes).toEqual(codes)
        expect(heard.bytes.equals(all)).toBe(true)
      },
    ),
    tries(500),
  )
})

test('cut anywhere, or gone on after its end, it has no exit codes, however much its content looks like an end', () => {
  fc.assert(
    fc.property(
      content,
      sizes,
      fc.nat(),
      fc.uint8Array({ minLength: 1, maxLength: 20 }),
      (all, lengths, at, more) => {
        const whole = Buffer.concat([begin, all, end, Buffer.from(' 0 0\n')])
        const cut = whole.subarray(0, at % whole.length)
        expect(read(cut, lengths).exitCodes).toBeUndefined()
        expect(read(Buffer.concat([whole, more]), lengths).exitCodes).toBeUndefined()
      },
    ),
    tries(500),
  )
})

test('whatever comes on standard error, in whatever pieces, the same lines are heard, in bounded memory', () => {
  const text = fc
    .array(
      fc.oneof(
        bytes,
        fc.constantFrom(Buffer.from('\n'), Buffer.from('\r\n'), Buffer.from('€'), Buffer.alloc(40_000, 'z')),
      ),
      { maxLength: 8 },
    )
    .map((parts) => Buffer.concat(parts))
  const heard = (pieces: Iterable<Buffer>) => {
    const seen: string[] = []
    const lines = errorLines((line) => seen.push(line) > 0)
    for (const piece of pieces) lines.push(piece)
    expect(lines.finish()).toBe('')
    return seen
  }
  fc.assert(
    fc.property(text, sizes, (all, lengths) => {
      const seen = heard(chunks(all, lengths))
      expect(seen).toEqual(heard([all]))
      for (const line of seen) expect(line.length).toBeLessThanOrEqual(16 * 1024)
      const own = all.toString('latin1').split('\n')
      if (own.at(-1) === '') own.pop()
      expect(seen).toEqual(own.map((line) => Buffer.from(line.slice(0, 16 * 1024), 'latin1').toString()))
    }),
    tries(300),
  )
})
