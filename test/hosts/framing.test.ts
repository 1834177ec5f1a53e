import fc from 'fast-check'
import { expect, test } from 'vitest'
import { framing } from '../../lib/hosts/script.ts'

const marks = { begin: Buffer.from('@begin 1\n'), end: Buffer.from('@end 1') }
const whole = (banner: Buffer, bytes: Buffer, codes = ' 0 0') =>
  Buffer.concat([banner, marks.begin, bytes, marks.end, Buffer.from(`${codes}\n`)])

/** Feeds the bytes in pieces of the given sizes, over and over. */
function read(all: Buffer, sizes: number[]) {
  const output = framing(marks)
  const parts: Buffer[] = []
  for (let at = 0, n = 0; at < all.length; n++) {
    const size = sizes[n % sizes.length] ?? 1
    parts.push(output.take(all.subarray(at, at + size)))
    at += size
  }
  const { rest, exitCodes } = output.finish()
  return { bytes: Buffer.concat([...parts, rest]), exitCodes, begun: output.begun(), banner: output.banner() }
}

const buffers = fc.uint8Array({ maxLength: 5000 }).map((bytes) => Buffer.from(bytes))
const sizes = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1 })

test('gives the bytes and the exit codes, however the pieces fall, and drops what came before', () => {
  fc.assert(
    fc.property(buffers, buffers, sizes, (banner, bytes, pieces) => {
      const heard = read(whole(banner, bytes), pieces)
      expect(heard.bytes.equals(bytes)).toBe(true)
      expect(heard.exitCodes).toEqual([0, 0])
    }),
  )
})

test('never takes output for whole that was cut, at whatever byte', () => {
  const all = whole(Buffer.from('hello\n'), Buffer.from('some bytes, and @end 1 among them'))
  for (let length = 0; length < all.length; length++) {
    expect(read(all.subarray(0, length), [7]).exitCodes, `cut at ${length}`).toBeUndefined()
  }
  expect(read(all, [7]).exitCodes).toEqual([0, 0])
})

test('never takes output for whole that goes on after its end', () => {
  const late = Buffer.concat([whole(Buffer.alloc(0), Buffer.from('x')), Buffer.from('late')])
  expect(read(late, [5]).exitCodes).toBeUndefined()
})

test('holds little of a script that never begins, and says what it printed last', () => {
  const heard = read(
    Buffer.concat([Buffer.alloc(1 << 20, 'x'), Buffer.from('This account is not available.')]),
    [65536],
  )
  expect(heard.begun).toBe(false)
  expect(heard.banner).toHaveLength(4096)
  expect(heard.banner).toMatch(/This account is not available\.$/)
})

test('reads the exit codes of two hundred processes', () => {
  const codes = ' 141'.repeat(200)
  expect(read(whole(Buffer.alloc(0), Buffer.from('x'), codes), [100]).exitCodes).toHaveLength(200)
})
