import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
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
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { CaptureError, ChangedWhileRead } from '../../lib/capture/capture.ts'
import { filesCapture } from '../../lib/capture/files.ts'
import { localHost } from '../../lib/hosts/local.ts'
import type { Source } from '../../lib/inventory.ts'
import { settle } from '../scripts/verda.ts'
import { canHang, whileHanging } from '../servers/hanging-mounts.ts'

const isRoot = process.getuid?.() === 0
const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0

let folder: string
let root: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'files-'))
  root = path.join(folder, 'root')
  mkdirSync(path.join(root, 'src'), { recursive: true })
})
afterEach(() => rmSync(folder, { recursive: true, maxRetries: 9 }))

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
/** As a user who may read what everybody may. */
function asOther(...sources: Source[]) {
  for (const each of [folder, root]) chmodSync(each, 0o755)
  const host = localHost({ name: 'verda', root })
  return filesCapture(
    {
      ...host,
      run: (script, args = [], options) => host.run(asNobody, [script, ...args], options),
      stream: (script, args, judge, options) => host.stream(asNobody, [script, ...args], judge, options),
    },
    sources,
  )
}
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
    const before = await surveyOf()
    await pack()
    expect(await surveyOf()).toEqual(before)
    expect(before).toMatchObject({
      bytes: 4,
      sources: [{ source: '/src', files: 2, bytes: 4 }],
      warnings: [],
    })
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

/** The capture of an optional source, with a part of its scripts replaced. */
function robbed(part: string, by: string) {
  const host = localHost({ name: 'verda', root })
  const changed = (script: string) => script.replace(part, by)
  return filesCapture(
    {
      ...host,
      run: (script, ...rest) => host.run(changed(script), ...rest),
      stream: (script, ...rest) => host.stream(changed(script), ...rest),
    },
    [{ ...src, required: false }],
  )
}

test('a source whose view is taken away while it is looked at is not taken for an empty one', async () => {
  put('src/a')
  const { survey, list, open } = robbed('see() {', 'see() {\n  rm -rf -- "$views"')
  await expect(survey()).rejects.toThrow('was replaced just now')
  await expect(list?.()).rejects.toThrow('was replaced just now')
  await expect(buffer(open(true, { chosen: ['src'] }).body)).rejects.toThrow('was replaced just now')
})

test.each<[string, string]>([
  ['no scratch folder can be made', 'make_folder() {\n return 1'],
  [
    'each scratch folder is taken by another run',
    'mktemp() { command mktemp "$@" | xargs -n1 sh -c \'rmdir "$1"; echo "$1"\' -; }\nmake_folder() {',
  ],
])('%s: an optional source is not taken for an absent one', async (_, words) => {
  put('src/a')
  const { survey, list, open } = robbed('make_folder() {', words)
  await expect(survey()).rejects.toThrow('src on verda: no scratch folder can be made')
  await expect(list?.()).rejects.toThrow('no scratch folder can be made')
  await expect(buffer(open(true).body)).rejects.toThrow('no scratch folder can be made')
})

test('a scratch folder that another run takes for a dead one is made again', async () => {
  put('src/a')
  const taken = path.join(root, 'taken')
  const { survey } = robbed(
    'make_folder() {',
    `mktemp() {
        local made
        made=$(command mktemp "$@") || return
        echo >>'${taken}'
        [[ $(wc -l <'${taken}') -gt 4 ]] || rmdir "$made"
        echo "$made"
      }
      make_folder() {`,
  )
  expect(await survey()).toMatchObject({ state: 'there' })
  expect(readFileSync(taken, 'utf8')).toHaveLength(5)
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
    // A last backslash that escapes nothing: find matches nothing, tar a backslash. The inventory has none.
    const isPattern = (text: string) => !/(?<!\\)(?:\\\\)*\\$/.test(text)
    const pattern = fc
      .oneof(
        file.map((text) => `/src/${text}`),
        word.map((text) => `*/${text}`),
        file.map((text) => `/src/*${text}*`),
      )
      .filter(isPattern)
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

describe('what no restore could put back is left out, and told in every survey', () => {
  const names = (archive: Buffer) => membersOf(archive).map((name) => name.replace(/^src\//, ''))

  test.runIf(isRoot)('devices, whatever they are called, and nothing beside them', async () => {
    put('src/a')
    put('src/st')
    put('src/sub/whiteout2')
    settle()
    const { fingerprint } = await surveyOf()
    const devices = ['whiteout', 'sub/white[o]ut', 'st*r', 'new\nline', 'end ', '-x', 'back\\slash']
    for (const name of devices) execFileSync('mknod', [at(`src/${name}`), 'c', '0', '0'])
    execFileSync('mknod', [at('src/block'), 'b', '7', '0'])
    put('src/whiteouts')
    settle()
    const survey = await surveyOf()
    expect(survey.warnings.map((warning) => [warning.kind, warning.path]).sort()).toEqual(
      ['block', ...devices].map((name) => ['device', `/src/${name.replace('\n', '?')}`]).sort(),
    )
    expect(names(await pack()).sort()).toEqual(['', 'a', 'st', 'sub/', 'sub/whiteout2', 'whiteouts'].sort())
    rmSync(at('src/whiteouts'))
    settle()
    expect((await surveyOf()).fingerprint).not.toBe(fingerprint)
  })

  test('a path that is too long, and all below it', async () => {
    put('src/a')
    const deep =
      'cd src; for n in {1..30}; do d=$(printf %0200d "$n"); mkdir "$d"; cd -P "$d"; echo x >f; done'
    execFileSync('bash', ['-c', deep], { cwd: root })
    const { warnings, sources } = await surveyOf()
    expect(warnings).toEqual([{ kind: 'path too long', path: expect.stringMatching(/^\/src\/0{199}1\//) }])
    const packed = names(await pack())
    expect(packed.filter((name) => name.endsWith('/f'))).toHaveLength(17)
    expect(sources).toMatchObject([{ files: 18 }])
    execFileSync('rm', ['-rf', at('src')])
  })

  test.runIf(isRoot)(
    'a disk mounted below, unless it is left out anyway, or is one and the same',
    async () => {
      put('src/a')
      for (const name of ['disk', 'with space', '.cache/x', 'same', 'other'])
        mkdirSync(at(`src/${name}`), { recursive: true })
      const disks = ['disk', 'with space', '.cache/x'].map((name) => at(`src/${name}`))
      for (const disk of disks) execFileSync('mount', ['-t', 'tmpfs', 'none', disk])
      execFileSync('mount', ['--bind', at('src/other'), at('src/same')])
      try {
        for (const disk of disks) writeFileSync(path.join(disk, 'file'), 'x')
        put('src/same/file')
        const source = { ...src, exclude: ['*/.cache'] }
        for (const _ of [1, 2]) {
          const { warnings } = await surveyOf(source)
          expect(warnings).toEqual([
            { kind: 'other file system', path: '/src/disk' },
            { kind: 'other file system', path: '/src/with space' },
          ])
        }
        expect(names(await pack([source]))).toContain('same/file')
        expect(names(await pack([source]))).not.toContain('disk/file')
        symlinkSync('src', at('link'))
        const link = { path: '/link', required: false }
        expect((await surveyOf(source, link)).sources?.[1]).toEqual({ source: '/link', files: 0, bytes: 0 })
      } finally {
        for (const disk of [...disks, at('src/same')]) execFileSync('umount', [disk])
      }
    },
  )

  test.runIf(isRoot)('what the user who makes the backups may not read, and all else is there', async () => {
    const closed = ['file', 'folder', 'listed only', 'back\\slash*', 'some.db']
    for (const name of ['a', 'sub/b', 'file', 'folder/c', 'listed only/d', 'back\\slash*', 'filed'])
      put(`src/${name}`)
    put('src/some.db', 'SQLite format 3\0')
    for (const name of ['file', 'folder', 'back\\slash*', 'some.db']) chmodSync(at(`src/${name}`), 0o700)
    chmodSync(at('src/listed only'), 0o744)
    symlinkSync('folder/c', at('src/link'))
    settle()
    const user = asOther(src)
    const survey = (await user.survey()) as Awaited<ReturnType<typeof surveyOf>>
    expect(survey.warnings.map((warning) => [warning.kind, warning.path]).sort()).toEqual(
      closed.map((name) => ['unreadable', `/src/${name}`]).sort(),
    )
    const { body, warnings } = user.open(false)
    expect(names(await buffer(body)).sort()).toEqual(['', 'a', 'filed', 'link', 'sub/', 'sub/b'])
    expect(warnings).toEqual([])
    expect(await user.survey()).toEqual(survey)
    rmSync(at('src/file'))
    utimesSync(at('src'), 1, 1)
    const later = (await user.survey()) as typeof survey
    expect(later.warnings).toHaveLength(4)
    expect(later.fingerprint).not.toBe(survey.fingerprint)
  })

  test.runIf(canHang)(
    'a mount that hangs, within a time limit: nothing looks at it, and all around it is there',
    async () => {
      for (const name of ['a', 'sub/b', 'sub/.hidden/c', 'sub/.cache/d']) put(`src/${name}`)
      const points = ['sub/hangs here', 'sub/.cache/left out', 'sub/skip'].map((name) => at(`src/${name}`))
      const source = { ...src, exclude: ['*/.cache', '*/skip'], mustHave: ['*/c'] }
      await whileHanging(
        points,
        async () => {
          expect((await surveyOf(source)).warnings).toEqual([
            { kind: 'other file system', path: '/src/sub/hangs here' },
          ])
          expect(names(await pack([source], true))).toEqual([
            '',
            'a',
            'sub/',
            'sub/.hidden/',
            'sub/.hidden/c',
            'sub/b',
          ])
        },
        20,
      )
    },
    30_000,
  )

  test('what an optional source that is a link leads to', async () => {
    put('src/a')
    put('elsewhere/b')
    symlinkSync('elsewhere', at('link'))
    const { warnings } = await surveyOf(src, { path: '/link', required: false })
    expect(warnings).toEqual([{ kind: 'source is a link', path: '/link' }])
  })
})

test('a time in the future is a warning, and the same files are the same', async () => {
  put('src/a')
  put('src/b.db-wal')
  utimesSync(at('src/b.db-wal'), 4e9, 4e9)
  settle()
  const survey = await surveyOf()
  expect(survey.warnings).toEqual([{ kind: 'future time', path: '/src' }])
  expect(await surveyOf()).toEqual(survey)
  appendFileSync(at('src/a'), 'y')
  expect((await surveyOf()).fingerprint).not.toBe(survey.fingerprint)
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

  test('a required source that is a link elsewhere, or empty, whatever the others hold', async () => {
    put('src/a')
    put('elsewhere/b')
    symlinkSync('elsewhere', at('link'))
    expect(await failure(src, { path: '/link', required: true })).toMatch(/^\/link on verda is only a link/)
    mkdirSync(at('empty'))
    expect(await failure(src, { path: '/empty', required: true })).toMatch(
      /^\/empty on verda: no file has content/,
    )
    expect(await failure(src, { path: '/empty', required: true, mayBeEmpty: true })).toBe('none')
  })

  test('a state of tailscaled that no other machine could use, before anything is read for an archive', async () => {
    const source: Source = { ...src, keystones: [{ file: 'tailscaled.state', kind: 'tailscale identity' }] }
    put('src/tailscaled.state', '{"key":{},"nonce":"AA","data":"AA"}')
    await expect(surveyOf(source)).rejects.toThrow(
      '/src on verda: its tailscaled.state is sealed with the TPM',
    )
    put('src/tailscaled.state', '{"_machinekey":"a","_current-profile":"eA=="}')
    expect((await surveyOf(source)).state).toBe('there')
    put('src/tailscaled.log')
    renameSync(at('src/tailscaled.state'), at('state'))
    symlinkSync('../state', at('src/tailscaled.state'))
    await expect(surveyOf(source)).rejects.toThrow('its tailscaled.state cannot be read as a plain file')
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
      '/src on verda: no file has content; an empty archive is not a backup',
    )
  })

  test('an archive without the members that it must have', async () => {
    put('src/other')
    const source = { ...src, mustHave: ['*/tailscaled.state', '*/other'] }
    expect(await failure(source)).toBe(
      '/src on verda: the archive has no */tailscaled.state with content; without that it is not a backup',
    )
    // As after a power cut.
    writeFileSync(at('src/tailscaled.state'), '')
    settle()
    expect(await failure(source)).toMatch(/no \*\/tailscaled.state with content/)
    put('src/tailscaled.state')
    expect(await failure(source)).toBe('none')
  })

  test.runIf(isRoot)('a required source of which nothing can be read, and an optional one', async () => {
    put('src/a')
    put('optional/a')
    for (const name of ['src', 'optional']) chmodSync(at(name), 0o700)
    const optional = { path: '/optional', required: false }
    await expect(asOther(src).survey()).rejects.toThrow(
      "/src on verda: no file has content; an empty archive is not a backup; /src cannot be read and is in no backup. On its host: sudo chown -R dev: '/src' && chmod -R u+rX '/src'",
    )
    await expect(asOther(optional).survey()).rejects.toThrow('/optional cannot be read')
  })

  test.runIf(isRoot).each<[string, number, string, Partial<Source>]>([
    ['enter', 0o700, '/above/within/optional', {}],
    ['enter, though it may list it', 0o744, '/above/within/optional', {}],
    ['enter, whether or not it is there', 0o700, '/above/nothing', {}],
    ['enter, and it is required', 0o700, '/above/within/optional', { required: true }],
    ['list', 0o711, '/above/within', {}],
    ['enter, of files of a pattern', 0o700, '/above/within', { match: 'o*' }],
    ['list, of files of a pattern', 0o711, '/above', { match: 'w*' }],
  ])('a source below a folder that this user may not %s', async (_, mode, source, more) => {
    put('src/a')
    put('above/within/optional')
    chmodSync(at('above'), mode)
    const closed: Source = { path: source, required: false, ...more }
    await expect(asOther(closed).survey()).rejects.toThrow(
      "on verda: it cannot be opened, so its content is unknown; /above cannot be entered, and what is below it is in no backup. On its host: ls -ld '/above'",
    )
    // All else of the item is stored; the warning fails it.
    if (closed.required) return
    const user = asOther(src, closed)
    expect(await user.survey()).toMatchObject({
      state: 'there',
      warnings: [{ kind: 'closed', path: '/above' }],
    })
    expect(membersOf(await buffer(user.open(true).body))).toEqual(['src/', 'src/a'])
  })

  test.runIf(isRoot)('what is not there below a folder that this user may enter and not list', async () => {
    put('above/other')
    chmodSync(at('above'), 0o711)
    const survey = await asOther({ path: '/above/nothing', required: false }).survey()
    expect(survey).toEqual({ state: 'absent', reason: '/above/nothing: not on verda, and optional' })
  })

  test.runIf(isRoot)('a folder above a source that is closed once it was surveyed', async () => {
    put('src/a')
    put('above/optional')
    const user = asOther(src, { path: '/above/optional', required: false })
    await user.survey()
    chmodSync(at('above'), 0o700)
    await expect(buffer(user.open(true).body)).rejects.toThrow('/above cannot be entered, and what is below')
  })

  test
    .runIf(isRoot && existsSync('/dev/fuse') && has('python3'))
    .each(['/dead', '/dead/below', '/dead/deep/below'])(
    'an optional source %s on a mount whose server has died',
    async (source) => {
      put('src/a')
      mkdirSync(at('dead'))
      const mount =
        'import ctypes, os, sys; fd = os.open("/dev/fuse", os.O_RDWR); options = f"fd={fd},rootmode=40000,user_id=0,group_id=0";' +
        'sys.exit(ctypes.CDLL(None).mount(b"dead", sys.argv[1].encode(), b"fuse", 0, options.encode()))'
      execFileSync('python3', ['-c', mount, at('dead')])
      try {
        const dead: Source = { path: source, required: false }
        await expect(capture(dead).survey()).rejects.toThrow('/dead cannot be entered')
        expect((await surveyOf(src, dead)).warnings).toEqual([{ kind: 'closed', path: '/dead' }])
      } finally {
        execFileSync('umount', [at('dead')])
      }
    },
  )

  test.runIf(isRoot)('a member that it must have and that cannot be read', async () => {
    put('src/a')
    put('src/closed/key')
    chmodSync(at('src/closed/key'), 0)
    await expect(asOther({ ...src, mustHave: ['*/key'] }).survey()).rejects.toThrow(
      'the archive has no */key',
    )
  })

  test.runIf(isRoot)('what could be read when it was surveyed, and not when it was packed', async () => {
    put('src/a')
    put('src/b')
    const user = asOther(src)
    await user.survey()
    chmodSync(at('src/b'), 0)
    await expect(buffer(user.open(true).body)).rejects.toThrow('/src on verda: /src/b cannot be read')
  })

  test.runIf(isRoot)('law 6: tar’s own "Permission denied" is never tolerated', async () => {
    put('src/a')
    const bin = path.join(folder, 'bin')
    mkdirSync(bin)
    const tar =
      '#!/bin/sh\n/usr/bin/tar "$@"\necho "tar: src/b: Cannot open: Permission denied" >&2\nexit 2\n'
    writeFileSync(path.join(bin, 'tar'), tar, { mode: 0o755 })
    const host = localHost({ name: 'verda', root })
    const refused = {
      ...host,
      stream: (...[script, ...rest]: Parameters<typeof host.stream>) =>
        host.stream(`PATH=${bin}:$PATH\n${script}`, ...rest),
    }
    await expect(buffer(filesCapture(refused, [src]).open(true).body)).rejects.toThrow(
      'could not be read completely on verda: tar: src/b: Cannot open: Permission denied',
    )
  })

  test('an optional source that is missing is left out, and all of them missing is told', async () => {
    put('src/a')
    const optional = { path: '/other', required: false }
    expect(membersOf(await pack([src, optional]))).toEqual(['src/', 'src/a'])
    mkdirSync(at('empty'))
    expect((await surveyOf(src, { path: '/empty', required: false })).warnings).toEqual([])
    expect(await capture({ path: '/empty', required: false }).survey()).toEqual({
      state: 'absent',
      reason: '/empty: nothing in it on verda, and optional',
    })
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
    const busy = 'while :; do mkdir -p src/t/u; touch src/t/u/{1..99}; rm -rf src/t; done'
    const busyOne = spawn('bash', ['-c', busy], { cwd: root, stdio: 'ignore', detached: true })
    await once(busyOne, 'spawn')
    try {
      for (let n = 0; n < 40; n++) expect((await surveyOf()).warnings).toEqual([])
    } finally {
      // With what it started, which would go on for a moment in the folder that is cleared up.
      process.kill(-(busyOne.pid as number), 'SIGKILL')
      await once(busyOne, 'close')
    }
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
    const { body, warnings } = capture(src).open(true)
    execFileSync('tar', ['-xzp', '-C', back], { input: await buffer(body) })
    expect(warnings).toEqual([])
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

  test('that stays locked is packed as it lies, and told', async () => {
    sqlite(at('src/a.db'), 'CREATE TABLE a(n)')
    writer = spawn('sqlite3', [at('src/a.db')], { stdio: ['pipe', 'pipe', 'inherit'] })
    writer.stdin?.write('BEGIN EXCLUSIVE; SELECT 1;\n')
    await once(writer.stdout as Readable, 'data')
    const { body, warnings } = capture(src).open(true)
    expect(membersOf(await buffer(body))).toContain('src/a.db')
    expect(warnings).toEqual([{ kind: 'torn database', path: '/src/a.db' }])
  })

  test('for which there is no room is packed as it lies, and told', async () => {
    sqlite(at('src/a.db'), 'CREATE TABLE a(n)')
    vi.stubEnv('TMPDIR', path.join(folder, 'not there'))
    onTestFinished(() => void vi.unstubAllEnvs())
    const { body, warnings } = capture(src).open(true)
    expect(membersOf(await buffer(body))).toContain('src/a.db')
    expect(warnings).toEqual([{ kind: 'torn database', path: '/src/a.db' }])
  })

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
    const tools = 'bash tar sed tr find mktemp mkdir ln stat rm tee sha256sum flock'.split(' ')
    for (const tool of [...tools, compressor]) {
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
    const stream = filesCapture(only, [src]).open(false)
    const archive = await buffer(stream.body)
    expect(archive.subarray(4, 8)).toEqual(Buffer.alloc(4))
    expect(membersOf(archive)).toEqual(['src/', 'src/a'])
    const unpacked = createHash('sha256').update(gunzipSync(archive)).digest('hex')
    expect([stream.tar, await filesCapture(host, [src]).digest?.()]).toEqual([unpacked, unpacked])
  },
)

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
    /could not be read completely on verda/,
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
