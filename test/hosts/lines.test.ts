import { expect, test } from 'vitest'
import { errorLines } from '../../lib/hosts/lines.ts'

test.each<[string, string[], string]>([
  ['whole lines', ['a\nb\n'], 'a\nb\n'],
  ['a line in pieces', ['a', 'b', 'c\nd', '\n'], 'abc\nd\n'],
  ['a last line without its end', ['a\nb'], 'a\nb\n'],
  ['empty lines', ['\n\na\n'], '\n\na\n'],
  ['nothing', [], ''],
])('keeps %s', (_, chunks, kept) => {
  const lines = errorLines()
  for (const chunk of chunks) lines.push(Buffer.from(chunk))
  expect(lines.finish()).toBe(kept)
})

test('keeps the last 64 KiB of very much', () => {
  const lines = errorLines()
  for (let n = 0; n < 100_000; n++) lines.push(Buffer.from(`line ${n}\n`))
  const kept = lines.finish()
  expect(kept).toHaveLength(64 * 1024)
  expect(kept).toMatch(/line 99999\n$/)
})

test('cuts a line of many MiB at 16 KiB and goes on with the next', () => {
  const seen: string[] = []
  const lines = errorLines((line) => seen.push(line) > 0)
  for (let n = 0; n < 64; n++) lines.push(Buffer.alloc(1 << 18, 'x'))
  lines.push(Buffer.from('\nnext\n'))
  expect(lines.finish()).toBe('')
  expect(seen.map((line) => line.length)).toEqual([16 * 1024, 4])
})

test('a character that is cut in two by a chunk comes whole; bytes that are not UTF-8 do no harm', () => {
  const seen: string[] = []
  const lines = errorLines((line) => seen.push(line) > 0)
  const euro = Buffer.from('€')
  lines.push(euro.subarray(0, 1))
  lines.push(Buffer.concat([euro.subarray(1), Buffer.from([10, 0xff, 0xfe, 10])]))
  lines.finish()
  expect(seen).toEqual(['€', '\ufffd\ufffd'])
})
