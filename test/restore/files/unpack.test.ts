import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ArchiveRecord } from '../../../lib/record.ts'
import { takeOutUnfit, topPathsOf } from '../../../lib/restore/files/tree.ts'
import { BadArchive, unpack } from '../../../lib/restore/files/unpack.ts'
import { type Member, tarOf } from '../tar-writer.ts'
import { expectSurroundings } from './surroundings.ts'

const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0

let folder: string
let tree: string
/** Links that lead here are what a hostile archive may try to write through. */
let outside: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'unpack-'))
  tree = path.join(folder, 'staging/tree')
  outside = path.join(folder, 'outside')
  for (const each of [tree, outside]) mkdirSync(each, { recursive: true })
  writeFileSync(path.join(outside, 'sentinel'), 'untouched')
  writeFileSync(path.join(folder, 'sentinel'), 'untouched')
})
afterEach(() => {
  vi.unstubAllEnvs()
  expectSurroundings(folder)
  rmSync(folder, { recursive: true })
})

const recordOf = (archive: Buffer): ArchiveRecord => ({
  sha256: createHash('sha256').update(archive).digest('hex'),
  archive: 'x-2026-11-24.tar.gz',
  bytes: archive.length,
})
const bring = (archive: Buffer, { record = recordOf(archive) as ArchiveRecord | undefined } = {}) =>
  unpack(Readable.from([archive], { objectMode: false }), tree, {
    attributes: '*',
    ...(record ? { record } : {}),
  })
/** Why it is refused; `none` when it is not. */
const refusal = async (archive: Buffer, options?: Parameters<typeof bring>[1]): Promise<string> =>
  bring(archive, options).then(
    () => 'none',
    (error) => {
      expect(error).toBeInstanceOf(BadArchive)
      return error.message
    },
  )
const gz = (...members: Member[]) => gzipSync(tarOf(...members))
const inTree = (name: string) => path.join(tree, name)

describe('a good archive', () => {
  const good = () => gz({ name: 'etc/', type: 'folder' }, { name: 'etc/a', content: 'hello' })

  test('lies in the folder, and its bytes and digest are told', async () => {
    const archive = good()
    expect(await bring(archive)).toEqual({
      bytes: archive.length,
      sha256: recordOf(archive).sha256,
      unfit: [],
    })
    expect(readFileSync(inTree('etc/a'), 'utf8')).toBe('hello')
  })

  test.each([1, 128, 4096])(
    'its last record is filled up to %i blocks of 512 bytes, and read to its end',
    async (blocks) => {
      const filled = Buffer.concat([tarOf({ name: 'etc/a', content: 'hello' }), Buffer.alloc(blocks * 512)])
      for (let round = 0; round < 5; round++)
        expect((await bring(gzipSync(filled))).bytes).toBe(gzipSync(filled).length)
      expect(readFileSync(inTree('etc/a'), 'utf8')).toBe('hello')
    },
  )

  test('bytes are told as they come', async () => {
    const archive = good()
    const told: number[] = []
    const pieces = Array.from(archive, (byte) => Buffer.from([byte]))
    await unpack(Readable.from(pieces, { objectMode: false }), tree, {
      attributes: '*',
      onBytes: (n) => told.push(n),
    })
    expect(told.reduce((sum, n) => sum + n)).toBe(archive.length)
  })

  test.each(['gzip', 'pigz', 'igzip'].filter(has))('is unpacked by %s', async (tool) => {
    const bin = path.join(folder, 'staging/bin')
    mkdirSync(bin)
    for (const name of ['bash', 'tar', 'sed', tool])
      execFileSync('ln', [
        '-s',
        execFileSync('sh', ['-c', `command -v ${name}`])
          .toString()
          .trim(),
        bin,
      ])
    vi.stubEnv('PATH', bin)
    await bring(good())
    expect(readFileSync(inTree('etc/a'), 'utf8')).toBe('hello')
    rmSync(bin, { recursive: true })
  })

  test('modes, times to the nanosecond, holes, empty folders and links come as they were', async () => {
    const from = path.join(folder, 'staging/from')
    mkdirSync(path.join(from, 'src/empty'), { recursive: true })
    execFileSync('bash', [
      '-c',
      `cd "$1/src"; echo x >file; chmod 4750 file; ln file hard; ln -s file soft; ln -s /etc absolute
      truncate -s 50M sparse; mkfifo fifo; touch -d '2020-02-02 02:02:02.123456789' file; chmod 1777 empty
      touch -d '2021-01-01 01:01:01.987654321' empty .`,
      'x',
      from,
    ])
    const state = (at: string) =>
      execFileSync('find', [path.join(at, 'src'), '-printf', '%P %y %m %n %T@ %s %l\\n'])
        .toString()
        .split('\n')
        .sort()
    const archive = execFileSync('bash', [
      '-c',
      'tar -C "$1" -c --format=posix --sparse src | gzip -n',
      'x',
      from,
    ])
    await bring(archive)
    expect(state(tree)).toEqual(state(from))
    expect(lstatSync(inTree('src/sparse')).blocks).toBeLessThan(100)
    expect(await refusal(archive)).toBe('none')
    rmSync(from, { recursive: true })
  })
})

describe('names', () => {
  const raw = Buffer.from([0x65, 0x74, 0x63, 0x2f, 0xff, 0xfe, 0x0a, 0x80])

  test('with a newline, not UTF-8, with what looks like an option or a message', async () => {
    const names = [
      'etc/new\nline',
      'etc/-rf',
      'etc/back\\slash\\n',
      'etc/+mark',
      "etc/\ntar: Removing leading `/' from member names",
      'etc/größe',
      'etc/ ',
    ]
    expect(
      await refusal(gz({ name: raw, content: 'x' }, ...names.map((name) => ({ name, content: 'x' })))),
    ).toBe('none')
    const found = readdirSync(Buffer.from(inTree('etc')), { encoding: 'buffer' })
    expect(found).toHaveLength(names.length + 1)
    expect(found.some((name) => name.equals(raw.subarray(4)))).toBe(true)
  })

  test('very long, as pax and as GNU headers', async () => {
    const long = `${'folder/'.repeat(100)}name`
    const pax = gz({ name: 'cut', content: 'x', pax: { path: `pax/${long}` } })
    const gnu = gz(
      { name: '././@LongLink', type: 'long name', content: `gnu/${long}\0` },
      { name: 'cut', content: 'x' },
    )
    for (const archive of [pax, gnu]) expect(await refusal(archive)).toBe('none')
    for (const each of ['pax', 'gnu']) expect(readFileSync(inTree(`${each}/${long}`), 'utf8')).toBe('x')
  })

  test('twice the same: the last one holds', async () => {
    expect(await refusal(gz({ name: 'etc/a', content: 'one' }, { name: 'etc/a', content: 'two' }))).toBe(
      'none',
    )
    expect(readFileSync(inTree('etc/a'), 'utf8')).toBe('two')
  })

  test('heads are those of the tree, as text, with a slash after folders', async () => {
    await bring(
      gz(
        { name: 'etc/ufw/a/b/c', content: 'x' },
        { name: 'etc/größe', content: 'x' },
        { name: 'etc/e/', type: 'folder' },
        { name: 'l', type: 'link', link: 'etc' },
      ),
    )
    expect(await topPathsOf(tree, 2)).toEqual(['etc/e/', 'etc/größe', 'etc/ufw/', 'l'])
    expect(await topPathsOf(tree, 3)).toEqual(['etc/e/', 'etc/größe', 'etc/ufw/a/', 'l'])
  })
})

describe('hostile', () => {
  const absolute = () => path.join(outside, 'evil')
  /** From the tree to the folder outside, climbing. */
  const climbing = '../../outside'

  test.each<[string, () => Member[], RegExp]>([
    [
      'an absolute path',
      () => [{ name: absolute(), content: 'x' }],
      /^it holds .*\/outside\/evil, an absolute path$/,
    ],
    [
      '.. at the start',
      () => [{ name: `${climbing}/evil`, content: 'x' }],
      /\.\.\/outside\/evil, which leads out of its folder/,
    ],
    [
      '.. in the middle',
      () => [{ name: `a/../${climbing}/evil`, content: 'x' }],
      /which leads out of its folder/,
    ],
    [
      '.. that stays inside',
      () => [{ name: 'a/../b', content: 'x' }],
      /a\/\.\.\/b, which leads out of its folder/,
    ],
    [
      'an absolute path in a pax header',
      () => [{ name: 'a', content: 'x', pax: { path: absolute() } }],
      /an absolute path/,
    ],
    [
      '.. in a pax header',
      () => [{ name: 'a', content: 'x', pax: { path: `${climbing}/evil` } }],
      /leads out of its folder/,
    ],
    [
      '.. in the name of a sparse file',
      () => [
        {
          name: 'a',
          content: 'x',
          pax: {
            'GNU.sparse.name': `${climbing}/evil`,
            'GNU.sparse.size': '1',
            'GNU.sparse.numblocks': '1',
            'GNU.sparse.offset': '0',
            'GNU.sparse.numbytes': '1',
          },
        },
      ],
      /leads out of its folder/,
    ],
    [
      '.. in a GNU long name',
      () => [
        { name: 'L', type: 'long name', content: `${climbing}/evil\0` },
        { name: 'a', content: 'x' },
      ],
      /leads out of its folder/,
    ],
    [
      '.. in a header for all members',
      () => [{ name: 'a', content: 'x', global: { path: `${climbing}/evil` } }],
      /leads out of its folder/,
    ],
    [
      'a hard link to an absolute path',
      () => [{ name: 'a', type: 'hard link', link: path.join(outside, 'sentinel') }],
      /it holds links or names that lead outside .*hard link targets/,
    ],
    [
      'a hard link with ..',
      () => [{ name: 'a', type: 'hard link', link: `${climbing}/sentinel` }],
      /lead outside .*hard link targets/,
    ],
    [
      'a hard link with .. by a pax header',
      () => [{ name: 'a', type: 'hard link', link: 'b', pax: { linkpath: `${climbing}/sentinel` } }],
      /lead outside/,
    ],
    [
      'a member through a link to an absolute path',
      () => [
        { name: 'a', type: 'link', link: outside },
        { name: 'a/evil', content: 'x' },
      ],
      /cannot be unpacked/,
    ],
    [
      'a member through a link with ..',
      () => [
        { name: 'a', type: 'link', link: climbing },
        { name: 'a/evil', content: 'x' },
      ],
      /cannot be unpacked|leads outside/,
    ],
    [
      'a member through two links',
      () => [
        { name: 'b', type: 'link', link: outside },
        { name: 'a', type: 'link', link: 'b' },
        { name: 'a/evil', content: 'x' },
      ],
      /cannot be unpacked/,
    ],
    [
      'a member through a link that leads through another one, made last',
      () => [
        { name: 'a', type: 'link', link: 'b/c' },
        { name: 'b/c', type: 'link', link: climbing },
        { name: 'a/evil', content: 'x' },
      ],
      /cannot be unpacked|leads outside/,
    ],
    [
      'a part of an archive of more than one volume',
      () => [{ name: 'a', type: 'continuation', content: 'x' }],
      /cannot be unpacked/,
    ],
  ])('%s is refused and named', async (_, members, reason) => {
    expect(await refusal(gz(...members()))).toMatch(reason)
  })

  test.each<[string, Member[]]>([
    ['a file', [{ name: 'l', content: 'mine', mode: 0o666 }]],
    [
      'a file in a folder',
      [
        { name: 'l/', type: 'folder' },
        { name: 'l/sentinel', content: 'mine' },
      ],
    ],
    [
      'a hard link, then a file',
      [
        { name: 'h', type: 'hard link', link: 'l' },
        { name: 'h', content: 'mine' },
      ],
    ],
  ])('%s after a link to the outside: refused or not, nothing is written through it', async (_, members) => {
    // Whether tar takes what follows for the link that it put off depends on numbers of inodes.
    for (const link of [outside, path.join(outside, 'sentinel'), '../../outside']) {
      await refusal(gz({ name: 'l', type: 'link', link }, ...members))
      expectSurroundings(folder)
      rmSync(tree, { recursive: true })
      mkdirSync(tree)
    }
  })

  test('that tar took something off is seen among any number of other messages', async () => {
    const noise = Array.from({ length: 1200 }, (_, n) => ({
      name: `noise-${n}`,
      pax: { [`unknown.${'x'.repeat(50)}${n}`]: 'y' },
    }))
    expect(
      await refusal(gz({ name: 'f' }, { name: 'a', type: 'hard link', link: '../../f' }, ...noise)),
    ).toMatch(/lead outside/)
  })

  test('folders listed by an incremental archive delete nothing', async () => {
    expect(
      await refusal(
        gz({ name: 'd/keep', content: 'x' }, { name: 'd', type: 'dumped folder', content: 'Yother\0\0' }),
      ),
    ).toBe('none')
    expect(readFileSync(inTree('d/keep'), 'utf8')).toBe('x')
  })

  test('renames of an incremental archive rename nothing', async () => {
    const moves = `R${path.join(outside, 'sentinel')}\0Tmoved\0\0`
    expect(
      await refusal(gz({ name: 'd', type: 'dumped folder', content: moves }, { name: 'a', content: 'x' })),
    ).toBe('none')
    expect(readdirSync(tree)).not.toContain('moved')
  })

  test('a volume header is no member', async () => {
    expect(await refusal(gz({ name: 'evil', type: 'volume' }, { name: 'a', content: 'x' }))).toBe('none')
    expect(readdirSync(tree)).toEqual(['a'])
  })

  test('through a link within the folder: what lies there is told by the tree, not by the names', async () => {
    const archive = gz(
      { name: 'etc', type: 'link', link: '.' },
      { name: 'etc/ufw', type: 'link', link: '.' },
      { name: 'etc/ufw/profile.d/evil.sh', content: 'x' },
    )
    expect(await refusal(archive)).toBe('none')
    expect(await topPathsOf(tree, 3)).toEqual(['etc', 'profile.d/evil.sh', 'ufw'])
  })

  test('what is found is named without what it would do to a terminal', async () => {
    const reason = await refusal(gz({ name: '/etc/\u001b[2J\nä', content: 'x' }))
    expect(reason).toMatch(/^it holds \/etc\/\\033\[2J\\n.*, an absolute path$/)
  })
})

describe('links are kept', () => {
  test.each(['/usr/share/nginx/modules-available/mod-http.conf', '../x', 'nowhere at all', '.', '..'])(
    'etc/nginx/a -> %s',
    async (link) => {
      expect(await refusal(gz({ name: 'etc/nginx/a', type: 'link', link }))).toBe('none')
      expect(readlinkSync(inTree('etc/nginx/a'))).toBe(link)
    },
  )

  test('wherever they lead: a link is data', async () => {
    for (const link of ['../../../x', '/etc/shadow']) {
      expect(await refusal(gz({ name: 'etc/a', type: 'link', link }))).toBe('none')
      expect(await takeOutUnfit(tree, '')).toEqual([])
      expect(readlinkSync(inTree('etc/a'))).toBe(link)
    }
  })
})

describe('what does not come back is left out alone', () => {
  const rest = { name: 'etc/a', content: 'hello' }
  const long = (member: Member): Member => ({ ...member, name: 'x', pax: { path: String(member.name) } })
  const left = async (...members: Member[]) => {
    const { unfit } = await bring(gz(...members.map(long), rest))
    const taken = await takeOutUnfit(tree, '')
    expect(readFileSync(inTree('etc/a'), 'utf8')).toBe('hello')
    return [...unfit, ...taken]
  }
  /** Folders in each other, until a path is longer than that. */
  const deep = (length: number, part = 'd'.repeat(200)): Member[] => {
    const names = [`etc/${part}`]
    while ((names.at(-1) as string).length <= length) names.push(`${names.at(-1)}/${part}`)
    return [
      ...names.map((name) => ({ name, type: 'folder' as const })),
      { name: `${names.at(-1)}/file`, content: 'x' },
    ]
  }

  test.runIf(process.getuid?.() === 0).each(['character device', 'block device'] as const)(
    'a %s',
    async (type) => {
      const found = await left({ name: 'etc/b', type, device: [8, 0] })
      expect(found).toEqual([{ path: 'etc/b', kind: 'device' }])
      expect(existsSync(inTree('etc/b'))).toBe(false)
    },
  )

  test('a whiteout of an overlay, which every user may make', async () => {
    const found = await left({ name: 'etc/b', type: 'character device', device: [0, 0] })
    expect(found).toEqual([{ path: 'etc/b', kind: 'device' }])
  })

  test('a name that no file system takes, of a file, a folder and links', async () => {
    const found = await left(
      { name: `etc/${'n'.repeat(256)}`, content: 'x' },
      { name: `etc/${'m'.repeat(300)}`, type: 'folder' },
      { name: `etc/${'m'.repeat(300)}/inner`, content: 'x' },
      { name: `etc/${'l'.repeat(256)}`, type: 'link', link: 'a' },
    )
    expect(found.map(({ path, kind }) => [path.slice(0, 5), kind])).toEqual([
      ['etc/n', 'name too long'],
      ['etc/m', 'name too long'],
      ['etc/m', 'name too long'],
      ['etc/l', 'name too long'],
    ])
  })

  test.each([3600, 4095, 4096, 4500, 20_000])('a path of more than %i characters', async (length) => {
    const found = await left(...deep(length))
    expect(found.length).toBeGreaterThan(0)
    for (const { kind } of found) expect(kind).toBe('path too long')
    const longest = execFileSync('find', ['.', '-printf', '%P\\n'], { cwd: tree, maxBuffer: 1 << 26 })
    expect(
      Math.max(
        ...longest
          .toString()
          .split('\n')
          .map((name) => name.length),
      ),
    ).toBeLessThanOrEqual(3583)
  })

  test('but what else is wrong with such an archive is seen all the same', async () => {
    const archive = tarOf(long({ name: `etc/${'n'.repeat(256)}`, content: 'x' }), rest)
    expect(await refusal(gzipSync(archive.subarray(0, 2700)), { record: undefined })).toMatch(
      /cannot be unpacked/,
    )
    const whole = gzipSync(archive)
    whole.writeUInt8(whole.readUInt8(whole.length - 6) ^ 1, whole.length - 6)
    expect(await refusal(whole, { record: undefined })).toMatch(/cannot be unpacked/)
  })
})

describe('an archive that is not what it should be', () => {
  const members: Member[] = [
    { name: 'etc/a', content: 'hello '.repeat(50) },
    { name: 'etc/b', content: 'world' },
  ]
  const archive = gz(...members)

  test.each<[string, () => Buffer, RegExp]>([
    ['empty', () => Buffer.alloc(0), /cannot be unpacked/],
    ['an empty gzip', () => gzipSync(''), /cannot be unpacked|it is empty/],
    ['an empty tar', () => gz(), /^it is empty$/],
    [
      'the 45 bytes that tar of nothing gives',
      () => execFileSync('bash', ['-c', 'tar -cT /dev/null | gzip -9']),
      /^it is empty$/,
    ],
    ['only the folder itself', () => gz({ name: './', type: 'folder' }), /^it is empty$/],
    ['no tar', () => gzipSync('hello '.repeat(500)), /cannot be unpacked/],
    ['no gzip', () => tarOf(...members), /cannot be unpacked/],
    [
      'a tar cut inside a member, in a whole gzip',
      () => gzipSync(tarOf(...members).subarray(0, 700)),
      /cannot be unpacked: .*Unexpected EOF/,
    ],
    [
      'noise',
      () => Buffer.from(Array.from({ length: 5000 }, (_, n) => (n * 7919) % 251)),
      /cannot be unpacked/,
    ],
  ])('%s', async (_, make, reason) => {
    const bytes = make()
    expect(await refusal(bytes), 'with a record').toMatch(reason)
    expect(await refusal(bytes, { record: undefined }), 'without one').toMatch(reason)
  })

  test('with a record, one bit flipped or one byte less is always refused', async () => {
    const record = recordOf(archive)
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: archive.length * 8 - 1 }), async (at) => {
        const flipped = Buffer.from(archive)
        flipped[at >> 3] = (flipped[at >> 3] as number) ^ (1 << (at & 7))
        expect(await refusal(flipped, { record })).not.toBe('none')
        expect(await refusal(archive.subarray(0, at >> 3), { record })).toMatch(
          /sha256|cannot be unpacked|bytes of/,
        )
      }),
      { numRuns: 15, seed: 4 },
    )
  })

  test('without a record, one bit flipped is refused or changed nothing, and a cut is refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: archive.length * 8 - 1 }), async (at) => {
        rmSync(tree, { recursive: true })
        mkdirSync(tree)
        const flipped = Buffer.from(archive)
        flipped[at >> 3] = (flipped[at >> 3] as number) ^ (1 << (at & 7))
        if ((await refusal(flipped, { record: undefined })) === 'none')
          for (const { name, content } of members)
            expect(readFileSync(inTree(name as string), 'utf8')).toBe(content)
        expect(await refusal(archive.subarray(0, at >> 3), { record: undefined })).not.toBe('none')
      }),
      { numRuns: 15, seed: 5 },
    )
  })

  test('a record of other bytes or another digest is told apart, whatever the archive', async () => {
    const { sha256, ...rest } = recordOf(archive)
    const other = { ...rest, sha256: 'b'.repeat(64) }
    expect(await refusal(archive, { record: other })).toBe(
      `it is not what its record says: sha256 ${sha256.slice(0, 12)}… for bbbbbbbbbbbb…`,
    )
    expect(await refusal(archive, { record: { ...other, bytes: 7 } })).toMatch(/ and \d+ bytes of 7$/)
  })

  test('garbage behind the end: refused with a record, else harmless', async () => {
    const longer = Buffer.concat([archive, Buffer.from('garbage')])
    expect(await refusal(longer, { record: recordOf(archive) })).toMatch(/not what its record says/)
    await refusal(longer, { record: undefined })
    expect(readdirSync(inTree('etc'))).toEqual(['a', 'b'])
  })

  test('two gzip members are one archive', async () => {
    const whole = gunzipSync(archive)
    const two = Buffer.concat([gzipSync(whole.subarray(0, 700)), gzipSync(whole.subarray(700))])
    expect(await refusal(two)).toBe('none')
    expect(readFileSync(inTree('etc/b'), 'utf8')).toBe('world')
  })

  test('a second archive behind the first is not looked at', async () => {
    expect(await refusal(Buffer.concat([archive, gz({ name: 'etc/c' })]))).toBe('none')
    expect(readdirSync(inTree('etc'))).toEqual(['a', 'b'])
  })

  test('a source that fails half-way, or before its first byte', async () => {
    for (const bytes of [[], [archive.subarray(0, 100)]]) {
      async function* failing() {
        yield* bytes
        throw new Error('connection reset')
      }
      await expect(
        unpack(Readable.from(failing(), { objectMode: false }), tree, { attributes: '*' }),
      ).rejects.toThrow(new BadArchive('it could not be read to its end: connection reset'))
    }
  })

  test('a member that claims more than there is does not hang', async () => {
    expect(await refusal(gz({ name: 'a', content: 'x', size: 8 ** 10 }))).toMatch(/cannot be unpacked/)
  })
})

test('a few KB that unpack to a name of gigabytes do not fill the memory', async () => {
  // tar makes room for all of a name before it reads it.
  for (const type of ['long name', 'long link name', 'extended headers', 'global headers'] as const) {
    const bomb = gz({ name: 'x', type, size: 8 ** 11 - 1 }, { name: 'a', content: 'x' })
    expect(await refusal(bomb), type).toMatch(/^it cannot be unpacked: tar: memory exhausted$/)
  }
})
