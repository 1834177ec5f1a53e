import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { CaptureError, ChangedWhileRead } from '../../lib/capture/capture.ts'
import { filesCapture } from '../../lib/capture/files.ts'
import { localHost } from '../../lib/hosts/local.ts'
import type { Source } from '../../lib/inventory.ts'
import { settle } from '../scripts/verda.ts'

const isRoot = process.getuid?.() === 0
const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0

let folder: string
let root: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'files-'))
  root = path.join(folder, 'root')
  mkdirSync(path.join(root, 'src'), { recursive: true })
})
afterEach(() => rmSync(folder, { recursive: true }))

const src: Source = { path: '/src', required: true }
const at = (file: string) => path.join(root, file)
const put = (file: string, content: string | Buffer = 'x') => {
  mkdirSync(path.dirname(at(file)), { recursive: true })
  writeFileSync(at(file), content)
}
const capture = (...sources: Source[]) => filesCapture(localHost({ name: 'verda', root }), sources)
const pack = (sources: Source[] = [src], acceptChanges = false) =>
  buffer(capture(...sources).open(acceptChanges).body)
const membersOf = (archive: Buffer) =>
  execFileSync('tar', ['-tz', '--quoting-style=escape'], { input: archive }).toString().trimEnd().split('\n')
async function surveyOf(...sources: Source[]) {
  const survey = await capture(...(sources.length > 0 ? sources : [src])).survey()
  if (survey.state !== 'there') throw new Error(survey.reason)
  return survey
}
/** Everything that a file system says of a tree, but for inodes, ctimes and atimes. */
const stateOf = (below: string) =>
  execFileSync(
    'bash',
    [
      '-c',
      `cd "$1" && find . -printf '%P\\0%y %m %U %G %s %n %T@ %l\\0' | sort -z; find . -type f -print0 | sort -z | xargs -0 -r sha256sum`,
      'state',
      below,
    ],
    { env: { ...process.env, LC_ALL: 'C' } },
  ).toString('latin1')

describe('a round trip', () => {
  async function expectRoundTrip(sources: Source[] = [src]) {
    const archive = await pack(sources)
    const back = path.join(folder, 'back')
    mkdirSync(back)
    execFileSync('tar', ['-xzp', '--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '-C', back], {
      input: archive,
    })
    for (const { path: source } of sources) expect(stateOf(path.join(back, source))).toBe(stateOf(at(source)))
    return back
  }

  test('brings back names, modes, links, empty folders, empty and sparse files, to the nanosecond', async () => {
    const raw = (...bytes: number[]) => Buffer.concat([Buffer.from(`${at('src')}/`), Buffer.from(bytes)])
    for (const name of [
      'with space',
      ' leading',
      'new\nline',
      '-rf',
      '--checkpoint-action=exec=sh',
      'quote\'"`$(id)',
      'star*[a]?',
      'back\\slash\\n',
      'tab\t',
      'häß-目录-🦊',
      '#hash',
      '&and',
      'deep/er/than/that',
      'x'.repeat(255),
      `${'long/'.repeat(60)}name`,
    ])
      put(`src/${name}`, name)
    writeFileSync(raw(0x66, 0xff, 0xfe, 0x80), 'not UTF-8')
    put('src/empty-file', '')
    mkdirSync(at('src/empty-folder'))
    symlinkSync('nowhere\n at all', at('src/dangling'))
    symlinkSync('/etc', at('src/to-folder'))
    linkSync(at('src/with space'), at('src/deep/hard link'))
    for (const [file, mode] of [
      ['with space', 0o4755],
      ['-rf', 0o000],
      ['deep', 0o1777],
    ] as const)
      chmodSync(at(`src/${file}`), mode)
    const sparse = openSync(at('src/sparse'), 'w')
    writeSync(sparse, 'start')
    ftruncateSync(sparse, 300_000_000)
    writeSync(sparse, 'middle', 100_000_000)
    closeSync(sparse)
    utimesSync(at('src/#hash'), 1, 123456789.123456)
    if (isRoot) {
      chownSync(at('src/&and'), 12345, 54321)
      execFileSync('mkfifo', [at('src/fifo')])
    }
    const back = await expectRoundTrip()
    const blocks = Number(execFileSync('stat', ['-c', '%b', path.join(back, 'src/sparse')]))
    expect(blocks, 'still sparse').toBeLessThan(5000)
    expect((await pack()).length, 'and not packed as zeros').toBeLessThan(60_000)
  })

  test.runIf(isRoot && has('setfattr') && has('setfacl'))(
    'brings back extended attributes and ACLs',
    async () => {
      put('src/file')
      execFileSync('setfattr', ['-n', 'user.note', '-v', 'a b', at('src/file')])
      execFileSync('setfattr', ['-n', 'trusted.note', '-v', 'x', at('src/file')])
      execFileSync('setfacl', ['-m', 'u:1234:rw-,d:g:4321:r-x', at('src')])
      const back = await expectRoundTrip()
      const said = (where: string) =>
        execFileSync('bash', [
          '-c',
          'cd "$1"; getfattr -d -m - src/file; getfacl -n src',
          'said',
          where,
        ]).toString()
      expect(said(back)).toBe(said(root))
      expect(said(back)).toMatch(/trusted.note="x"[\s\S]*user.note="a b"[\s\S]*default:group:4321:r-x/)
    },
  )

  test('brings back any name', async () => {
    const name = fc
      .uint8Array({ minLength: 1, maxLength: 60 })
      .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x5c : byte))))
      .filter((bytes) => !['.', '..'].includes(bytes.toString('latin1')))
    await fc.assert(
      fc.asyncProperty(fc.array(name, { minLength: 1, maxLength: 8 }), async (names) => {
        rmSync(at('src'), { recursive: true })
        rmSync(path.join(folder, 'back'), { recursive: true, force: true })
        mkdirSync(at('src'))
        for (const each of names) writeFileSync(Buffer.concat([Buffer.from(`${at('src')}/`), each]), each)
        await expectRoundTrip()
      }),
      { numRuns: 15 },
    )
  })

  test('sockets are left out in silence', async () => {
    put('src/file')
    const code = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
    spawnSync(process.execPath, ['-e', code, at('src/socket')])
    expect(readdirSync(at('src'))).toEqual(['file', 'socket'])
    expect(membersOf(await pack())).toEqual(['src/', 'src/file'])
  })
})

describe('the same files', () => {
  test('give the same bytes, whatever the time, the order and the machine’s name', async () => {
    for (const name of ['b', 'a', 'c/d', 'c/a']) put(`src/${name}`, name.repeat(1000))
    const first = await pack()
    await new Promise((resolve) => setTimeout(resolve, 1100))
    for (const name of ['a', 'b']) readFileSync(at(`src/${name}`))
    expect((await pack()).equals(first)).toBe(true)
    expect(membersOf(first)).toEqual(['src/', 'src/a', 'src/b', 'src/c/', 'src/c/a', 'src/c/d'])
  })

  test('have the same fingerprint, and reading them does not change it', async () => {
    for (const name of ['a', 'b/c']) put(`src/${name}`, name)
    settle()
    const { fingerprint, bytes } = await surveyOf()
    await pack()
    expect(await surveyOf()).toEqual({ state: 'there', fingerprint, bytes })
    expect(bytes).toBe(4)
  })

  test.each<[string, () => void]>([
    ['content of the same size', () => writeFileSync(at('src/a'), 'y')],
    [
      'content of the same size and mtime',
      () => {
        writeFileSync(at('src/a'), 'y')
        utimesSync(at('src/a'), 1_700_000_000, 1_700_000_000)
      },
    ],
    ['a mode', () => chmodSync(at('src/a'), 0o600)],
    ['a name', () => renameSync(at('src/a'), at('src/b'))],
    ['a file more', () => put('src/new')],
    ['an empty folder', () => mkdirSync(at('src/new'))],
    ['a file less', () => rmSync(at('src/z'))],
    [
      'a link that goes elsewhere',
      () => {
        rmSync(at('src/link'))
        symlinkSync('z', at('src/link'))
      },
    ],
    ...(isRoot ? [['an owner', () => chownSync(at('src/a'), 1, 1)] as [string, () => void]] : []),
  ])('no more: %s changes the fingerprint', async (_, change) => {
    put('src/a')
    put('src/z')
    symlinkSync('a', at('src/link'))
    utimesSync(at('src/a'), 1_700_000_000, 1_700_000_000)
    settle()
    const { fingerprint } = await surveyOf()
    change()
    settle()
    expect((await surveyOf()).fingerprint).not.toBe(fingerprint)
  })

  test('a file that changed within the last tick of the clock is never called unchanged', async () => {
    put('src/a')
    const one = await surveyOf()
    utimesSync(at('src/a'), 1, 1)
    const [two, three] = [await surveyOf(), await surveyOf()]
    settle()
    const settled = [await surveyOf(), await surveyOf()].map(({ fingerprint }) => fingerprint)
    expect(one.fingerprint).not.toBe(two.fingerprint)
    expect(settled[0]).toBe(settled[1])
    if (three.fingerprint.includes('-')) expect(three.fingerprint).not.toBe(two.fingerprint)
  })
})

describe('what is left out', () => {
  /** What the survey lists, told from its fingerprint: the same as the archive's members, or the two would disagree unseen. */
  const listed = (exclude: string[]) => {
    const prune = exclude.flatMap((pattern) => ['-o', '-path', pattern.replace(/^\/+/, '')])
    return execFileSync(
      'find',
      ['src', '-xdev', '(', '-false', ...prune, ')', '-prune', '-o', '-printf', '%p\\0'],
      {
        cwd: root,
        env: { ...process.env, LC_ALL: 'C' },
      },
    )
      .toString()
      .split('\0')
      .filter((name) => name !== '')
      .sort()
  }
  const packed = async (exclude: string[]) =>
    execFileSync('tar', ['-tz', '--quoting-style=literal', '--null'], {
      input: await pack([{ ...src, exclude }], true),
    })
      .toString()
      .split('\n')
      .filter((name) => name !== '')
      .map((name) => name.replace(/\/$/, ''))
      .sort()

  test.each<[string, string[], string[]]>([
    [
      'a folder of that name anywhere',
      ['*/node_modules'],
      ['src/a', 'src/deep', 'src/deep/b', 'src/node_modules.txt'],
    ],
    [
      'one path',
      ['/src/deep/b'],
      [
        'src/a',
        'src/deep',
        'src/deep/node_modules',
        'src/deep/node_modules/x',
        'src/node_modules',
        'src/node_modules.txt',
        'src/node_modules/y',
      ],
    ],
    [
      'a pattern across folders',
      ['/src/*x'],
      [
        'src/a',
        'src/deep',
        'src/deep/b',
        'src/deep/node_modules',
        'src/node_modules',
        'src/node_modules.txt',
        'src/node_modules/y',
      ],
    ],
    [
      'nothing for the name alone',
      ['node_modules', 'a'],
      [
        'src/a',
        'src/deep',
        'src/deep/b',
        'src/deep/node_modules',
        'src/deep/node_modules/x',
        'src/node_modules',
        'src/node_modules.txt',
        'src/node_modules/y',
      ],
    ],
  ])('%s', async (_, exclude, expected) => {
    for (const name of ['a', 'deep/b', 'deep/node_modules/x', 'node_modules/y', 'node_modules.txt'])
      put(`src/${name}`)
    expect(await packed(exclude)).toEqual(['src', ...expected])
    expect(listed(exclude)).toEqual(['src', ...expected])
  })

  test('the list of the survey is the list of the archive, for any pattern and any name', async () => {
    const letters = fc.constantFrom('a', 'b', '.', '*', '?', '[', ']', '\\', '-', '!', '^', 'é', ' ')
    const word = fc
      .string({ unit: letters, minLength: 1, maxLength: 4 })
      .filter((text) => !['.', '..'].includes(text))
    const file = fc.array(word, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
    const pattern = fc.oneof(
      file.map((text) => `/src/${text}`),
      word.map((text) => `*/${text}`),
      file.map((text) => `/src/*${text}*`),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(file, { minLength: 1, maxLength: 8 }),
        fc.array(pattern, { maxLength: 3 }),
        async (files, exclude) => {
          rmSync(at('src'), { recursive: true })
          mkdirSync(at('src'))
          for (const each of files) {
            try {
              put(`src/${each}`)
            } catch {
              // One name is a folder in another: that file is not there, which is as good.
            }
          }
          expect(await packed(exclude)).toEqual(listed(exclude))
        },
      ),
      { numRuns: 60 },
    )
  })

  test('what is left out changes nothing in the fingerprint', async () => {
    put('src/a')
    put('src/.cache/x')
    const source = { ...src, exclude: ['*/.cache'] }
    settle()
    const { fingerprint } = await surveyOf(source)
    put('src/.cache/x', 'other')
    settle()
    expect((await surveyOf(source)).fingerprint).toBe(fingerprint)
  })
})

describe('law 5: what is no backup', () => {
  const failure = async (...sources: Source[]) =>
    (async () => {
      await capture(...sources).survey()
      await pack(sources)
    })().then(
      () => 'none',
      (error) => {
        expect(error).toBeInstanceOf(CaptureError)
        return error.message
      },
    )

  test('a required source that is missing', async () => {
    put('src/a')
    expect(await failure(src, { path: '/other', required: true })).toBe(
      '/other missing on verda: nothing there to back up',
    )
    expect(await failure({ path: '/src', match: 'b*', required: true })).toBe(
      '/src/b* missing on verda: nothing there to back up',
    )
  })

  test('a host’s root that is missing', async () => {
    rmSync(root, { recursive: true })
    expect(await failure(src)).toBe(`there is no ${root} on verda`)
    mkdirSync(root)
  })

  test.each<[string, () => void]>([
    ['an empty folder', () => {}],
    ['empty files alone', () => put('src/a', '')],
    ['nothing but what is left out', () => put('src/.cache/x')],
    ['links alone', () => symlinkSync('/etc/passwd', at('src/a'))],
  ])('%s', async (_, make) => {
    make()
    expect(await failure({ ...src, exclude: ['*/.cache'] })).toBe(
      '/src on verda: no file with content; an empty archive is no backup',
    )
  })

  test('an archive without the members that it must have', async () => {
    put('src/other')
    const source = { ...src, mustHave: ['*/tailscaled.state', '*/other'] }
    expect(await failure(source)).toBe(
      '/src on verda: the archive has no */tailscaled.state; without it, it is no backup',
    )
    put('src/tailscaled.state')
    expect(await failure(source)).toBe('none')
  })

  test.runIf(isRoot)('a file that cannot be read', async () => {
    put('src/a')
    put('src/secret')
    chmodSync(at('src/secret'), 0)
    for (const each of [folder, root]) chmodSync(each, 0o755)
    const host = localHost({ name: 'verda', root })
    const user = filesCapture(
      {
        ...host,
        stream: (script, args, judge, options) => host.stream(asNobody, [script, ...args], judge, options),
      },
      [src],
    )
    await expect(buffer(user.open(true).body)).rejects.toThrow(
      /could not be read whole on verda: .*src\/secret: Cannot open: Permission denied/,
    )
  })

  test('an optional source that is missing is left out, and all of them missing is told', async () => {
    put('src/a')
    const optional = { path: '/other', required: false }
    expect(membersOf(await pack([src, optional]))).toEqual(['src/', 'src/a'])
    expect(await capture(optional).survey()).toEqual({
      state: 'absent',
      reason: '/other: not on verda, and optional',
    })
  })
})

test('only entries that match are taken', async () => {
  for (const name of ['ssh_host_rsa_key', 'ssh_host_rsa_key.pub', 'sshd_config', 'ssh_host_ b\nc'])
    put(`src/${name}`)
  expect(membersOf(await pack([{ path: '/src', match: 'ssh_host_*', required: true }]))).toEqual([
    'src/ssh_host_ b\\nc',
    'src/ssh_host_rsa_key',
    'src/ssh_host_rsa_key.pub',
  ])
})

describe('what changes while it is read', () => {
  let writer: ChildProcess | undefined
  afterEach(() => writer?.kill('SIGKILL'))

  /** Reads an archive slowly; `change` happens when tar is surely in the middle of it. */
  async function packSlowly(change: () => void, acceptChanges: boolean) {
    const stream = capture(src).open(acceptChanges)
    const chunks: Buffer[] = []
    for await (const chunk of stream.body) {
      if (chunks.length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 150))
        change()
      }
      chunks.push(chunk)
    }
    return { ...stream, archive: Buffer.concat(chunks) }
  }
  const large = (bytes: number) =>
    execFileSync('head', ['-c', String(bytes), '/dev/urandom'], { maxBuffer: bytes + 1 })

  test.each<[string, () => void, string[]]>([
    ['grows', () => appendFileSync(at('src/large'), 'more'), ['src/large']],
    ['shrinks', () => truncateSync(at('src/large'), 5_000_000), ['src/large']],
    ['vanishes before it was read', () => rmSync(at('src/z')), ['src/z']],
    ['is a folder that vanishes', () => rmSync(at('src/y'), { recursive: true }), ['src/y']],
  ])('a file that %s: the first try is given up, the second notes it', async (_, change, paths) => {
    const make = () => {
      put('src/large', large(30_000_000))
      put('src/y/file')
      put('src/z')
    }
    make()
    await expect(packSlowly(change, false)).rejects.toThrow(ChangedWhileRead)
    make()
    const { changed, archive } = await packSlowly(change, true)
    expect([...new Set(changed)]).toEqual(expect.arrayContaining(paths.filter((name) => name !== 'src/y')))
    expect(changed.length).toBeGreaterThan(0)
    expect(membersOf(archive)).toContain('src/large')
  })

  test('a name with newlines is one line of the record', async () => {
    put('src/large', large(30_000_000))
    put('src/z\nnew: file changed as we read it')
    const { changed } = await packSlowly(() => rmSync(at('src/z\nnew: file changed as we read it')), true)
    expect(changed).toHaveLength(2)
    for (const name of changed) expect(name).not.toContain('\n')
  })

  test('each of many is heard of, though tar lists its members meanwhile', async () => {
    put('src/a', large(30_000_000))
    for (let n = 0; n < 2000; n++) put(`src/f${10_000 + n}-${n % 2 ? 'stays' : 'goes'}`)
    const change = () => {
      for (let n = 0; n < 2000; n += 2) rmSync(at(`src/f${10_000 + n}-goes`))
    }
    const { changed } = await packSlowly(change, true)
    expect(changed.filter((name) => name.endsWith('-goes'))).toHaveLength(1000)
  })

  test('a busy tree can be listed: what vanishes meanwhile was not there', async () => {
    put('src/a')
    const busy = 'while :; do mkdir -p src/t/u; : >src/t/u/f; rm -rf src/t; done'
    writer = spawn('bash', ['-c', busy], { cwd: root, stdio: 'ignore' })
    await once(writer, 'spawn')
    for (let n = 0; n < 40; n++) await surveyOf()
  })
})

describe.runIf(has('sqlite3'))('databases', () => {
  let writer: ChildProcess | undefined
  afterEach(() => writer?.kill('SIGKILL'))
  const sqlite = (file: string, sql: string) =>
    execFileSync('sqlite3', [file, sql], { stdio: 'pipe' }).toString().trim()
  const unpacked = async () => {
    const back = path.join(folder, 'back')
    rmSync(back, { recursive: true, force: true })
    mkdirSync(back)
    execFileSync('tar', ['-xzp', '-C', back], { input: await pack([src], true) })
    return back
  }

  test.each(['wal', 'delete'])('is whole in the archive while a writer writes (%s)', async (mode) => {
    const file = at('src/my data.sqlite')
    sqlite(file, `PRAGMA journal_mode=${mode}; CREATE TABLE a(n); CREATE TABLE b(n);`)
    chmodSync(file, 0o640)
    sqlite(file, 'CREATE TABLE large(x); INSERT INTO large VALUES (zeroblob(20000000))')
    writer = spawn('sqlite3', [file], { stdio: ['pipe', 'ignore', 'inherit'] })
    writer.stdin?.on('error', () => {}).write('.timeout 20000\n')
    const both = 'BEGIN IMMEDIATE; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT;\n'
    const often = setInterval(() => writer?.stdin?.write(both), 1)
    onTestFinished(() => clearInterval(often))
    await new Promise((resolve) => setTimeout(resolve, 500))
    for (let n = 0; n < 3; n++) {
      const copy = path.join(await unpacked(), 'src/my data.sqlite')
      expect(execFileSync('stat', ['-c', '%a', copy]).toString().trim()).toBe('640')
      expect(existsSync(`${copy}-wal`)).toBe(false)
      expect(
        sqlite(
          copy,
          'PRAGMA integrity_check; SELECT (SELECT count(*) FROM a) - (SELECT count(*) FROM b), (SELECT count(*) FROM a) > 0',
        ),
      ).toBe('ok\n0|1')
    }
  })

  test.each(['odd &*[x]?.db', 'back\\slash\\n.db', '-dash.db', 'new\nline.db', "quote'.db", '$(id).db'])(
    'with the name %j is there once',
    async (name) => {
      sqlite(path.join(folder, 'made'), "CREATE TABLE a(n); INSERT INTO a VALUES ('x')")
      put(`src/${name}`, readFileSync(path.join(folder, 'made')))
      const back = await unpacked()
      expect(readdirSync(path.join(back, 'src'))).toEqual([name])
      renameSync(path.join(back, 'src', name), path.join(folder, 'found'))
      expect(sqlite(path.join(folder, 'found'), 'SELECT n FROM a')).toBe('x')
    },
  )

  test('that is left out stays out', async () => {
    sqlite(path.join(folder, 'made'), 'CREATE TABLE a(n)')
    for (const name of ['a.db', '.cache/b.db']) put(`src/${name}`, readFileSync(path.join(folder, 'made')))
    expect(membersOf(await pack([{ ...src, exclude: ['*/.cache'] }]))).toEqual(['src/', 'src/a.db'])
  })

  test('that is none, or damaged, is packed as the file that it is', async () => {
    put('src/a.db', 'no database')
    put('src/b.db', Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(2000, 7)]))
    const back = await unpacked()
    for (const name of ['a.db', 'b.db'])
      expect(readFileSync(path.join(back, 'src', name)).equals(readFileSync(at(`src/${name}`)))).toBe(true)
  })

  test('that nobody changes gives the same bytes, and reading it leaves no trace', async () => {
    sqlite(at('src/a.db'), 'PRAGMA journal_mode=wal; CREATE TABLE a(n); INSERT INTO a VALUES (1)')
    settle()
    const { fingerprint } = await surveyOf()
    const first = await pack()
    expect((await pack()).equals(first)).toBe(true)
    expect((await surveyOf()).fingerprint).toBe(fingerprint)
  })

  test('whose last writer died is whole, and reading it once more leaves no trace', async () => {
    const file = at('src/a.db')
    writer = spawn('sqlite3', [file], { stdio: ['pipe', 'pipe', 'inherit'] })
    writer.stdin?.write('PRAGMA journal_mode=wal; CREATE TABLE a(n); INSERT INTO a VALUES (7); SELECT 7;\n')
    for (let said = ''; !said.includes('7'); ) said += (await once(writer.stdout as Readable, 'data'))[0]
    writer.kill('SIGKILL')
    await once(writer, 'close')
    expect(existsSync(`${file}-wal`)).toBe(true)
    rmSync(`${file}-shm`, { force: true })
    const back = await unpacked()
    expect(sqlite(path.join(back, 'src/a.db'), 'SELECT n FROM a')).toBe('7')
    settle()
    const { fingerprint } = await surveyOf()
    await pack()
    expect((await surveyOf()).fingerprint).toBe(fingerprint)
  })
})

test.each(['gzip', 'pigz', 'igzip'].filter(has))(
  '%s packs what gunzip unpacks, without a time',
  async (compressor) => {
    put('src/a', 'text '.repeat(10_000))
    const bin = path.join(folder, 'bin')
    mkdirSync(bin)
    for (const tool of ['bash', 'tar', 'sed', 'find', 'mktemp', 'rm', compressor]) {
      const found = execFileSync('sh', ['-c', `command -v ${tool}`])
        .toString()
        .trim()
      symlinkSync(found, path.join(bin, tool))
    }
    const host = localHost({ name: 'verda', root })
    const only = {
      ...host,
      stream: (...[script, ...rest]: Parameters<typeof host.stream>) =>
        host.stream(`PATH=${bin}\n${script}`, ...rest),
    }
    const archive = await buffer(filesCapture(only, [src]).open(false).body)
    expect(archive.subarray(4, 8)).toEqual(Buffer.alloc(4))
    expect(membersOf(archive)).toEqual(['src/', 'src/a'])
  },
)

test.skipIf(!has('perl'))('before the compressor there is room for all that it reads at once', async () => {
  put('src/a', 'text '.repeat(10_000))
  const bin = path.join(folder, 'bin')
  mkdirSync(bin)
  const room = path.join(folder, 'room')
  const asks = `perl -e 'print fcntl(STDIN, 1032, 0)' >${room}`
  writeFileSync(path.join(bin, 'igzip'), `#!/bin/sh\n${asks}\nexec gzip "$@"\n`, { mode: 0o755 })
  const host = localHost({ name: 'verda', root })
  const watched = {
    ...host,
    stream: (...[script, ...rest]: Parameters<typeof host.stream>) =>
      host.stream(`PATH=${bin}:$PATH\n${script}`, ...rest),
  }
  expect(membersOf(await buffer(filesCapture(watched, [src]).open(false).body))).toEqual(['src/', 'src/a'])
  expect(readFileSync(room, 'utf8')).toBe(String(2 ** 20))
})

test.each([
  ['the compressor', 'gzip'],
  ['tar', 'tar'],
])('law 6: when %s fails after it wrote something, the body does not end', async (_, tool) => {
  put('src/a', 'text '.repeat(100_000))
  // The compressor reads to its end, so that tar succeeds and it alone fails.
  const fails = `#!/bin/sh\n${tool === 'tar' ? '' : 'cat >/dev/null\n'}head -c 50000 /dev/zero\nexit 3\n`
  const bin = path.join(folder, 'bin')
  mkdirSync(bin)
  for (const name of tool === 'tar' ? ['tar'] : ['gzip', 'pigz', 'igzip'])
    writeFileSync(path.join(bin, name), fails, { mode: 0o755 })
  const host = localHost({ name: 'verda', root })
  const broken = {
    ...host,
    stream: (...[script, ...rest]: Parameters<typeof host.stream>) =>
      host.stream(`PATH=${bin}:$PATH\n${script}`, ...rest),
  }
  await expect(buffer(filesCapture(broken, [src]).open(true).body)).rejects.toThrow(
    /could not be read whole on verda/,
  )
})

/** Runs a script, given as the first argument, as a user who may read what everybody may. */
const asNobody = `
script=$1
shift
setpriv --reuid=65534 --regid=65534 --clear-groups bash --norc -o pipefail -c "$script"$'\\n''exit "\${PIPESTATUS[0]}"' bash "$@"
code=$?
(exit "$code") | true
`
