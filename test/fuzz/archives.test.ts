import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { filesCapture } from '../../lib/capture/files.ts'
import { localHost } from '../../lib/hosts/local.ts'
import type { Source } from '../../lib/inventory.ts'
import type { ArchiveRecord } from '../../lib/record.ts'
import { BadArchive, CannotUnpack, unpack } from '../../lib/restore/files/unpack.ts'
import { type Member, tarOf } from '../restore/tar-writer.ts'
import { share, tries } from './tries.ts'

const source: Source = { path: '/src', required: true }
let folder: string
let tree: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'archives-'))
  tree = path.join(folder, 'around/tree')
})
afterEach(() => rmSync(folder, { recursive: true }))

/** An empty folder to unpack into, with sentinels around it. */
function build(): void {
  rmSync(path.join(folder, 'around'), { recursive: true, force: true })
  for (const each of ['around/tree', 'around/beside', 'around/tree-of-another'])
    mkdirSync(path.join(folder, each), { recursive: true })
  for (const each of ['sentinel', 'around/sentinel', 'around/beside/x', 'around/tree-of-another/x'])
    writeFileSync(path.join(folder, each), 'untouched')
}

const surroundings = () =>
  execFileSync('bash', [
    '-c',
    `cd "$1"; find . -path ./around/tree -prune -o \\( -type d -printf '%p %y %m\\n' -o -printf '%p %y %m %s %n %l %T@\\n' \\) | sort`,
    'x',
    folder,
  ]).toString()
const stateOf = (below: string) =>
  execFileSync('bash', [
    '-c',
    `cd "$1" && find . -mindepth 1 -printf '%P\\0%y %m %n %l\\0' | sort -z; find . -type f -print0 | sort -z | xargs -0 -r sha256sum`,
    'x',
    below,
  ]).toString('latin1')

/** Unpacks, and says what came of it: nothing else but a refusal with its reason may be thrown, and nothing around may change. */
async function attempt(archive: Buffer, record?: ArchiveRecord): Promise<'unpacked' | 'refused'> {
  build()
  const before = surroundings()
  let outcome: 'unpacked' | 'refused' = 'unpacked'
  try {
    await unpack(Readable.from([archive], { objectMode: false }), tree, {
      attributes: '*',
      ...(record && { record }),
    })
  } catch (error) {
    if (!(error instanceof BadArchive || error instanceof CannotUnpack)) throw error
    expect(error.message).not.toBe('')
    expect(error.message.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
    outcome = 'refused'
  }
  expect(surroundings()).toBe(before)
  execFileSync('chmod', ['-R', 'u+rwX', tree])
  return outcome
}

/** A real archive of ours, of a tree with everything that tar has a form for. */
async function realArchive(): Promise<{ archive: Buffer; state: string }> {
  const src = path.join(folder, 'root/src')
  mkdirSync(path.join(src, 'deep/er'), { recursive: true })
  writeFileSync(path.join(src, 'file'), 'content of a file\n'.repeat(50))
  writeFileSync(path.join(src, 'x'.repeat(200)), 'a long name')
  writeFileSync(path.join(src, 'deep/er/ü'), '')
  linkSync(path.join(src, 'file'), path.join(src, 'deep/hard'))
  symlinkSync('../file', path.join(src, 'deep/link'))
  execFileSync('truncate', ['-s', '2M', path.join(src, 'sparse')])
  writeFileSync(path.join(src, 'sparse'), 'tail', { flag: 'a' })
  const archive = await buffer(
    filesCapture(localHost({ name: 'verda', root: path.join(folder, 'root') }), [source]).open(false).body,
  )
  return { archive, state: stateOf(path.join(folder, 'root')) }
}

type Change = (bytes: Buffer) => Buffer
const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.nat(), fc.nat(7)).map(
      ([at, bit]): Change =>
        (bytes) =>
          Buffer.from(bytes.map((byte, index) => (index === at % bytes.length ? byte ^ (1 << bit) : byte))),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.nat().map(
      (at): Change =>
        (bytes) =>
          bytes.subarray(0, at % bytes.length),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 600 })).map(
      ([at, more]): Change =>
        (bytes) =>
          Buffer.concat([bytes.subarray(0, at % bytes.length), more, bytes.subarray(at % bytes.length)]),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.nat().map(
      (at): Change =>
        (bytes) =>
          Buffer.concat([
            bytes.subarray(0, at % bytes.length),
            Buffer.alloc(Math.min(512, bytes.length - (at % bytes.length))),
            bytes.subarray((at % bytes.length) + 512),
          ]),
    ),
  },
  { weight: 1, arbitrary: fc.constant<Change>((bytes) => Buffer.concat([bytes, bytes])) },
  {
    weight: 1,
    arbitrary: fc.uint8Array({ minLength: 1, maxLength: 2000 }).map(
      (tail): Change =>
        (bytes) =>
          Buffer.concat([bytes, tail]),
    ),
  },
)

test('an archive that was damaged on its way is refused by its record, and never reaches beyond its folder', async () => {
  const { archive, state } = await realArchive()
  const record: ArchiveRecord = {
    archive: 'a.tar.gz',
    sha256: createHash('sha256').update(archive).digest('hex'),
    bytes: archive.length,
  }
  expect(await attempt(archive, record)).toBe('unpacked')
  expect(stateOf(tree)).toBe(state)
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 2 }), async (changes) => {
      const damaged = changes.reduce((bytes, each) => (bytes.length === 0 ? bytes : each(bytes)), archive)
      expect(await attempt(damaged, record)).toBe(damaged.equals(archive) ? 'unpacked' : 'refused')
    }),
    tries(40),
  )
})

test('an older archive, without a record, whose gzip or tar was damaged is refused, or brings what it still holds into its folder', async () => {
  const { archive } = await realArchive()
  const plain = execFileSync('gzip', ['-dc'], { input: archive, maxBuffer: 1 << 28 })
  const outcomes = { unpacked: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { minLength: 1, maxLength: 2 }),
      fc.boolean(),
      async (changes, inside) => {
        const damaged = changes.reduce(
          (bytes, each) => (bytes.length === 0 ? bytes : each(bytes)),
          inside ? plain : archive,
        )
        outcomes[await attempt(inside ? gzipSync(damaged) : damaged)]++
      },
    ),
    tries(60),
  )
  expect(Math.min(...Object.values(outcomes)), JSON.stringify(outcomes)).toBeGreaterThan(share(3))
})

const number = fc.constantFrom(
  '0',
  '-1',
  '1',
  '99999999999999999999',
  '1e9',
  'NaN',
  '',
  '0x10',
  '512',
  '-',
  '1.999999999999',
)
const odd = fc.constantFrom(
  '../../around/beside/x',
  '/etc/passwd',
  '..',
  '.',
  '',
  'src/\u0000x',
  'x'.repeat(5000),
  'src/\u001b[2J',
  'a=b\n12 path=../x\n',
)
/** Extended headers as a hostile or broken writer makes them. */
const pax = fc.dictionary(
  fc.constantFrom(
    'path',
    'linkpath',
    'size',
    'mtime',
    'atime',
    'uid',
    'gid',
    'uname',
    'hdrcharset',
    'charset',
    'GNU.sparse.major',
    'GNU.sparse.minor',
    'GNU.sparse.name',
    'GNU.sparse.realsize',
    'GNU.sparse.size',
    'GNU.sparse.numblocks',
    'GNU.sparse.offset',
    'GNU.sparse.numbytes',
    'GNU.sparse.map',
    'SCHILY.xattr.user.x',
    'SCHILY.xattr.security.capability',
    'SCHILY.acl.access',
    'SCHILY.dev',
    'LIBARCHIVE.symlinktype',
    'comment',
  ),
  fc.oneof(
    number,
    odd,
    fc.constantFrom('0,512', '0,5,1048576,5', '0,99999999999999', 'user::rwx', 'UTF-8', 'BINARY'),
  ),
  { minKeys: 1, maxKeys: 4, noNullPrototype: true },
)
const hostile: fc.Arbitrary<Member> = fc.record(
  {
    name: fc.oneof(fc.constantFrom('src/a', 'src/b', 'src', 'src/deep/c', './src/a'), odd),
    type: fc.constantFrom(
      'file',
      'file',
      'folder',
      'link',
      'hard link',
      'old sparse',
      'long name',
      'long link name',
      'contiguous',
      'continuation',
      'volume',
      'fifo',
      'character device',
      'global headers',
      'extended headers',
    ),
    content: fc.constantFrom('', 'content', '12 size=999\n', '1\n0\n5\n', 'x'.repeat(1500)),
    link: fc.oneof(fc.constantFrom('src/a', 'b', '../around', '../beside/x'), odd),
    mode: fc.constantFrom(0o644, 0, 0o7777, 0o40000, 0o100644),
    size: fc.constantFrom(0, 1, 7, 511, 513, 8 ** 11 - 1),
    mtime: fc.constantFrom(0, 1_700_000_000, 8 ** 11 - 1),
    uid: fc.constantFrom(0, 65534, 2 ** 21 - 1),
    pax,
    global: pax,
  },
  { requiredKeys: ['name', 'type'] },
) as fc.Arbitrary<Member>

const member: fc.Arbitrary<Member> = fc.oneof(
  hostile,
  fc.record(
    {
      name: fc.constantFrom('src/a', 'src/b', 'src/deep/c'),
      content: fc.constantFrom('content', 'x'.repeat(1500)),
      mtime: fc.constantFrom(0, 8 ** 11 - 1),
      uid: fc.constantFrom(0, 65534, 2 ** 21 - 1),
      pax: fc.dictionary(
        fc.constantFrom('comment', 'uname', 'mtime', 'SCHILY.dev', 'SCHILY.xattr.user.x'),
        number,
        { noNullPrototype: true },
      ),
    },
    { requiredKeys: ['name'] },
  ) as fc.Arbitrary<Member>,
)

/** tar says the name of an attribute that it cannot set as it stands in the archive. */
const examples: [Member[], boolean][] = [
  [[{ name: 'src/a', pax: { 'SCHILY.xattr.strange\u001b[2J': 'x' } }], false],
  [
    [
      {
        name: 'src/a',
        type: 'folder',
        global: { 'SCHILY.xattr.security.capability': '../../around/beside/x' },
      },
      { name: 'src/a', pax: { mtime: '../../around/beside/x', path: 'a=b\n12 path=../x\n' } },
    ],
    false,
  ],
]

test('whatever an archive’s headers say of sizes, sparse maps, names, times and owners, it is refused or stays in its folder', async () => {
  const outcomes = { unpacked: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(
      fc.array(member, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      async (members, sound) => {
        const all = sound ? [{ name: 'src/first', content: 'x' }, ...members] : members
        outcomes[await attempt(gzipSync(tarOf(...all)))]++
      },
    ),
    { ...tries(80), examples },
  )
  expect(Math.min(...Object.values(outcomes)), JSON.stringify(outcomes)).toBeGreaterThan(share(3))
})

test.each([
  ['of zeros alone, 64 MiB of them', gzipSync(Buffer.alloc(64 * 2 ** 20)), 'refused'],
  ['of a thousand layers of nothing', Buffer.concat(Array(1000).fill(gzipSync(Buffer.alloc(0)))), 'refused'],
  ['of nothing', Buffer.alloc(0), 'refused'],
  [
    'of a file of 64 MiB of zeros',
    gzipSync(tarOf({ name: 'src/zeros', content: Buffer.alloc(64 * 2 ** 20) })),
    'unpacked',
  ],
  [
    'of 20,000 files',
    gzipSync(tarOf(...Array.from({ length: 20_000 }, (_, n) => ({ name: `src/${n}`, content: 'x' })))),
    'unpacked',
  ],
] as const)('a bomb %s comes to what it says and no more', async (_, archive, expected) => {
  expect(await attempt(archive)).toBe(expected)
  if (existsSync(path.join(tree, 'src/zeros')))
    expect(statSync(path.join(tree, 'src/zeros')).size).toBe(64 * 2 ** 20)
  if (existsSync(path.join(tree, 'src/19999')))
    expect(readFileSync(path.join(tree, 'src/19999'), 'utf8')).toBe('x')
})
