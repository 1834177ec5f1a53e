import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  difference,
  type Entry,
  escaped,
  readList,
  readLook,
  UnfitList,
  unescaped,
  writeList,
} from '../../lib/capture/list.ts'
import { cpuSeconds } from '../cpu.ts'

const head = {
  item: 'user-outputs',
  archive: { archive: 'user-outputs-2026-11-30-10.tar.gz', sha256: 'b'.repeat(64), bytes: 77 },
  links: [{ archive: 'user-outputs-2026-11-30-09.tar.gz', sha256: 'a'.repeat(64), bytes: 9999 }],
}
const look = (type = 'f', mtime = '1764496800.1234567890') =>
  `${type} 12 ${mtime} 1764496800.1234567890 77 644 1000 1000`
const file = (path: string, more: Partial<Entry> = {}): Entry => ({
  mark: '=',
  path,
  look: look(),
  target: '',
  ...more,
})

async function write(entries: Entry[], deleted: string[] = []) {
  return buffer(writeList(head, entries, deleted))
}
const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

async function read(bytes: Buffer, more: Partial<Parameters<typeof readList>[1]> = {}, pieces = 1000) {
  const entries: Entry[] = []
  const deleted: string[] = []
  const record = {
    item: head.item,
    archive: head.archive.archive,
    sha256: head.archive.sha256,
    list: { sha256: digestOf(bytes), bytes: bytes.length },
    ...more,
  }
  const body = (async function* () {
    for (let at = 0; at < bytes.length; at += pieces) yield bytes.subarray(at, at + pieces)
  })()
  const found = await readList(
    body,
    record,
    (one) => entries.push(one),
    (path) => deleted.push(path),
  )
  return { head: found, entries, deleted }
}

/** Any path that a file system has below the root, a byte a character. */
const path = fc
  .array(
    fc
      .uint8Array({ minLength: 1, maxLength: 6 })
      .map((bytes) =>
        Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x0a : byte))).toString('latin1'),
      )
      .filter((part) => part !== '.' && part !== '..'),
    { minLength: 1, maxLength: 3 },
  )
  .map((parts) => parts.join('/'))
const sorted = (texts: string[]) => [...new Set(texts)].sort((a, b) => (a < b ? -1 : 1))

describe('a list', () => {
  test('is lines that a person can read', async () => {
    const bytes = await write(
      [
        file('home/dev', { look: look('d') }),
        file('home/dev/a b', { mark: '?' }),
        file('home/dev/link', { look: look('l'), target: 'wo\nher' }),
        file('home/dev/x.db-wal', { mark: '~', look: 'f 8 1764496800.1 - 78 600 0 0' }),
      ],
      ['home/dev/h\xc3\xa4\\'],
    )
    expect(gunzipSync(bytes).toString()).toBe(`# comfyume-backup list 1
# item: user-outputs
# archive: ${'b'.repeat(64)} 77 user-outputs-2026-11-30-10.tar.gz
# link: ${'a'.repeat(64)} 9999 user-outputs-2026-11-30-09.tar.gz
= d 12 1764496800.1234567890 1764496800.1234567890 77 644 1000 1000 home/dev
? f 12 1764496800.1234567890 1764496800.1234567890 77 644 1000 1000 home/dev/a\\040b
= l 12 1764496800.1234567890 1764496800.1234567890 77 644 1000 1000 home/dev/link wo\\012her
~ f 8 1764496800.1 - 78 600 0 0 home/dev/x.db-wal
- home/dev/h\\303\\244\\134
# end: 4 1
`)
    expect(readLook('d 4096 1.5 -2.5 77 1755 1000 100')).toEqual({
      type: 'd',
      size: 4096,
      mtime: '1.5',
      ctime: '-2.5',
      inode: '77',
      mode: 0o1755,
      uid: 1000,
      gid: 100,
    })
  })

  test('is read as it was written, whatever the names, and in pieces of any size', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(path),
        fc.array(path),
        fc.integer({ min: 1, max: 50 }),
        async (names, gone, pieces) => {
          const entries = sorted(names).map((one, at) =>
            file(one, { mark: (['=', '?', '~'] as const)[at % 3] as '=', target: at % 2 ? one : '' }),
          )
          const bytes = await write(entries, sorted(gone))
          expect(await read(bytes, {}, pieces)).toEqual({ head, entries, deleted: sorted(gone) })
        },
      ),
      { numRuns: 60 },
    )
  })

  test('escapes every byte but the visible ones, and back', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1')
    expect(escaped(all)).toMatch(/^[!-~]+$/)
    expect(unescaped(escaped(all))).toBe(all)
  })

  test.each<[string, (text: string) => string]>([
    ['cut off', (text) => text.slice(0, -10)],
    ['cut off at a line', (text) => text.replace(/# end.*\n/, '')],
    ['without an entry', (text) => text.replace(/= .* b\n/, '')],
    ['with an entry twice', (text) => text.replace(/(= .* b\n)/, '$1$1').replace('end: 2', 'end: 3')],
    ['out of order', (text) => text.replace(/(= .* a\n)(= .* b\n)/, '$2$1')],
    ['with a path that leads out', (text) => text.replace(/ b\n/, ' a/../../b\n')],
    ['with an absolute path', (text) => text.replace(/ b\n/, ' /b\n').replace(/ a\n/, ' /a\n')],
    ['with other text', (text) => text.replace('# item', 'item')],
    ['with something behind its end', (text) => `${text}# item: x\n`],
    ['of another item', (text) => text.replace('user-outputs\n', 'home-dev\n')],
    ['of another archive', (text) => text.replace('b'.repeat(64), 'c'.repeat(64))],
    ['without an archive', (text) => text.replace(/# archive.*\n/, '')],
    ['of another version', (text) => text.replace('list 1', 'list 2')],
    ['that is empty', () => ''],
  ])('%s is none, though its digest were right', async (_, change) => {
    const text = gunzipSync(await write([file('a'), file('b')], ['c'])).toString()
    expect(change(text)).not.toBe(text)
    await expect(read(gzipSync(change(text)))).rejects.toThrow(UnfitList)
    await expect(read(gzipSync(text))).resolves.toBeDefined()
  })

  test('that is not the one of the record is none', async () => {
    const bytes = await write([file('a')])
    const list = { sha256: digestOf(bytes), bytes: bytes.length }
    const other = Buffer.from(bytes)
    other[4] = 1 // A byte of gzip's own time.
    for (const [bad, more] of [
      [other, { list }],
      [Buffer.concat([bytes, bytes]), { list }],
      [bytes.subarray(0, -5), { list }],
      [bytes.subarray(0, 0), { list }],
      [Buffer.from('no gzip at all'), {}],
      [bytes, { archive: 'user-outputs-2026-11-30.tar.gz' }],
      [bytes, { item: 'user-data' }],
    ] as const)
      await expect(read(bad, more)).rejects.toThrow(UnfitList)
    await expect(read(bytes, { list })).resolves.toBeDefined()
  })

  test('of a store that fails is no unfit list', async () => {
    const failing = (async function* (): AsyncGenerator<Buffer> {
      yield Buffer.alloc(0)
      throw new Error('connection lost')
    })()
    const record = { item: 'x', archive: 'y', sha256: 'z', list: { sha256: 'w', bytes: 9 } }
    await expect(readList(failing, record, () => {})).rejects.toThrow('connection lost')
  })

  test('of 100,000 paths takes little time, and few bytes', async () => {
    const entries = Array.from({ length: 100_000 }, (_, at) =>
      file(`data/outputs/user_${String(at).padStart(6, '0')}/ComfyUI_${at}_.png`, {
        look: look().replace('77', String(at)),
      }),
    )
    const before = cpuSeconds()
    const bytes = await write(entries)
    expect((await read(bytes, {}, 65536)).entries.length).toBe(100_000)
    expect(cpuSeconds() - before).toBeLessThan(10)
    expect(bytes.length).toBeLessThan(2_000_000)
  })
})

describe('what became of an item', () => {
  const between = (before: Entry[], now: Entry[]) => {
    const found = difference(now)
    for (const entry of before) found.before(entry)
    const { changed, replaced, deleted } = found.end()
    return { changed, replaced: [...replaced], deleted }
  }

  test.each<[string, Entry, Entry, 'changed' | 'same']>([
    ['nothing', file('a'), file('a'), 'same'],
    ['an earlier time', file('a'), file('a', { look: look('f', '3.0') }), 'changed'],
    ['a later time', file('a'), file('a', { look: look('f', '9999999999.0') }), 'changed'],
    ['another type', file('a'), file('a', { look: look('d') }), 'changed'],
    ['another target', file('a', { target: 'b' }), file('a', { target: 'c' }), 'changed'],
    ['unsettled', file('a', { mark: '?' }), file('a'), 'changed'],
    ['unsettled now', file('a'), file('a', { mark: '?' }), 'same'],
    ['seen only', file('a', { mark: '~' }), file('a'), 'same'],
  ])('%s', (_, before, now, is) => {
    const changed = is === 'changed' ? ['a'] : []
    expect(between([before], [now])).toEqual({ changed, replaced: changed, deleted: [] })
  })

  test('what was in no archive is not gone from it', () => {
    expect(between([file('a', { mark: '~' }), file('b')], [])).toEqual({
      changed: [],
      replaced: [],
      deleted: ['b'],
    })
    const changed = between([file('a', { mark: '~' })], [file('a', { look: look('d') })])
    expect(changed).toEqual({ changed: ['a'], replaced: [], deleted: [] })
  })

  test('is every path of one, or other in both', () => {
    const entries = fc
      .dictionary(path, fc.constantFrom('1.0', '2.0'))
      .map((of) => sorted(Object.keys(of)).map((one) => file(one, { look: look('f', of[one]) })))
    fc.assert(
      fc.property(entries, entries, (before, now) => {
        const was = new Map(before.map((one) => [one.path, one.look]))
        const is = new Map(now.map((one) => [one.path, one.look]))
        expect(between(before, now)).toEqual({
          changed: [...is.keys()].filter((one) => was.get(one) !== is.get(one)),
          replaced: [...is.keys()].filter((one) => was.has(one) && was.get(one) !== is.get(one)),
          deleted: [...was.keys()].filter((one) => !is.has(one)),
        })
      }),
    )
  })
})
