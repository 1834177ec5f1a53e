import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { examine, type Inside } from '../../lib/verify/check.ts'
import { tarOf } from '../restore/tar-writer.ts'

let folder: string
let tar: Buffer
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'examine-'))
  writeFileSync(path.join(folder, 'a file'), randomBytes(300_000))
  writeFileSync(path.join(folder, 'small'), 'x')
  tar = execFileSync('tar', ['-C', folder, '-cf', '-', 'a file', 'small'])
})
afterAll(() => rmSync(folder, { recursive: true }))

async function inside(content: Buffer, mustHave: string[] = []): Promise<Inside> {
  const examination = await examine(mustHave)
  for (let start = 0; start < content.length; start += 65_536)
    await examination.take(content.subarray(start, start + 65_536))
  return examination.end()
}
const flipped = (content: Buffer, at: number) => {
  const copy = Buffer.from(content)
  copy[at] = (copy[at] as number) ^ 1
  return copy
}

test('a whole archive is whole, with its members', async () => {
  expect(await inside(gzipSync(tar))).toEqual({ members: 2, files: 2, missing: [] })
})

test('one of several gzip members, as pigz and cat make them, is whole too', async () => {
  const half = tar.length >> 1
  const content = Buffer.concat([gzipSync(tar.subarray(0, half)), gzipSync(tar.subarray(half))])
  expect(await inside(content)).toEqual({ members: 2, files: 2, missing: [] })
})

test('what must be there and is not, is named', async () => {
  expect(await inside(gzipSync(tar), ['*/small', '*/a f?le', '*/tailscaled.state', '*mall.'])).toMatchObject({
    missing: ['*/tailscaled.state', '*mall.'],
  })
})

test('an empty archive is whole, with no member', async () => {
  const empty = execFileSync('tar', ['-czf', '-', '-T', '/dev/null'])
  expect(await inside(empty)).toEqual({ members: 0, files: 0, missing: [] })
})

test.each<[string, (whole: Buffer) => Buffer, RegExp]>([
  ['nothing', () => Buffer.alloc(0), /unexpected end of file/],
  ['no gzip', () => Buffer.from('hello'), /not in gzip format/],
  ['much that is no gzip', () => randomBytes(3_000_000), /not in gzip format/],
  ['cut short', (whole) => whole.subarray(0, 200_000), /unexpected end of file/],
  ['without its last byte', (whole) => whole.subarray(0, -1), /unexpected end of file/],
  ['a byte before it', (whole) => Buffer.concat([Buffer.from('x'), whole]), /not in gzip format/],
  ['much behind it', (whole) => Buffer.concat([whole, randomBytes(3_000_000)]), /trailing garbage/],
  [
    'a bit flipped in the middle',
    (whole) => flipped(whole, whole.length >> 1),
    /crc error|invalid compressed data/,
  ],
  ['a bit flipped in its check sum', (whole) => flipped(whole, whole.length - 8), /crc error/],
  ['a bit flipped in its length', (whole) => flipped(whole, whole.length - 1), /length error/],
])('%s is no whole gzip file', async (_, spoil, said) => {
  expect((await inside(spoil(gzipSync(tar)))).gzip).toMatch(said)
})

test.each<[string, () => Buffer, RegExp]>([
  ['a text', () => Buffer.from('hello\n'), /does not look like a tar archive/],
  ['much of no tar', () => randomBytes(3_000_000), /does not look like a tar archive/],
  ['a tar cut within a member', () => tar.subarray(0, 100_000), /Unexpected EOF/],
  [
    'a tar cut between two members',
    () => tar.subarray(0, 512 + Math.ceil(300_000 / 512) * 512),
    /two empty blocks/,
  ],
])('%s in whole gzip is no whole tar', async (_, content, said) => {
  const found = await inside(gzipSync(content()))
  expect(found.gzip).toBeUndefined()
  expect(found.tar).toMatch(said)
})

test('a few KB that unpack to a name of gigabytes are no whole tar, and do not fill the memory', async () => {
  // tar makes room for all of a name before it reads it.
  for (const type of ['long name', 'extended headers'] as const) {
    const bomb = tarOf({ name: 'x', type, size: 8 ** 11 - 1 }, { name: 'a', content: 'x' })
    expect((await inside(gzipSync(bomb))).tar, type).toMatch(/memory exhausted/)
  }
})
