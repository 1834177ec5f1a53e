import { execFileSync } from 'node:child_process'
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { lengthByHeader, printLength } from '../lib/acceptance.ts'

const made = (header: string, body = '', bytes = header.length) => {
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(bytes))
  return Buffer.concat([size, Buffer.from(header), Buffer.from(body)])
}
const two =
  '{"a":{"dtype":"U8","data_offsets":[0,70]},"__metadata__":{"x":"\\"data_offsets\\":[0,99]"},"b":{"data_offsets" : [70, 90]}}'

test.each<[string, Buffer, number | undefined]>([
  ['tensors in any order', made(two, 'x'.repeat(90)), 8 + two.length + 90],
  ['one that is cut in its tensors', made(two, 'x'), 8 + two.length + 90],
  ['no tensor', made('{}'), 10],
  ['one that is cut in its header', made(two.slice(0, 20), '', two.length), 8 + two.length],
  ['no header', Buffer.from('any other bytes, but not of such a file'), undefined],
  ['zeros, as a download reserves them', Buffer.alloc(100), 0],
  ['a Git LFS pointer', Buffer.from('version https://git-lfs.github.com/spec/v1\n'), 0],
  ['a web page', Buffer.from('<!doctype html>'), 0],
  ['less than 8 bytes', Buffer.from('{}'), undefined],
  ['nothing', Buffer.alloc(0), 0],
  ['a header that is no JSON', made('[1,2]'), undefined],
])('the length by the header, in both languages: %s', async (_, content, length) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'safetensors-'))
  const file = path.join(folder, 'file')
  writeFileSync(file, content)
  const printed = execFileSync('perl', ['-e', printLength], { stdio: [openSync(file, 'r'), 'pipe', 'pipe'] })
  expect(printed.toString()).toBe(length === undefined ? '' : String(length))
  expect(await lengthByHeader(async (from, bytes) => content.subarray(from, from + bytes))).toBe(length)
  rmSync(folder, { recursive: true })
})
