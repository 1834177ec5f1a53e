import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Source } from '../../../lib/inventory.ts'
import { putInPlace } from '../../../lib/restore/files/put-in-place.ts'
import { BadArchive, CannotUnpack } from '../../../lib/restore/files/unpack.ts'
import { make, stateOf } from './trees.ts'

const isRoot = process.getuid?.() === 0

let folder: string
let root: string
let outside: string
const staged = () => path.join(folder, 'staging/tree')
const aside = () => path.join(root, 'var/lib/comfyume-backup/kept-aside/2026-11-24-10-00')
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'place-'))
  root = path.join(folder, 'root')
  outside = path.join(folder, 'outside')
  for (const each of [root, staged(), outside]) mkdirSync(each, { recursive: true })
  writeFileSync(path.join(outside, 'sentinel'), 'untouched')
})
afterEach(() => {
  expect(readdirSync(folder).sort()).toEqual(['outside', 'root', 'staging'])
  expect(readdirSync(outside)).toEqual(['sentinel'])
  expect(readFileSync(path.join(outside, 'sentinel'), 'utf8')).toBe('untouched')
  rmSync(folder, { recursive: true })
})

const ufw: Source[] = [{ path: '/etc/ufw', required: true }]
const whole: Source[] = [{ path: '/etc/ufw', required: true, whole: true }]
const home: Source[] = [{ path: '/home/dev', required: true }]

const stage = (script: string) => {
  rmSync(path.join(folder, 'staging'), { recursive: true })
  make(staged(), script)
}
const place = (sources: Source[] = ufw, base = '') =>
  putInPlace({ staged: staged(), base, root, sources, aside: aside() })
const at = (file: string) => path.join(root, file)
const read = (file: string) => readFileSync(at(file), 'utf8')
const kept = (file: string) => path.join(aside(), file)

const rich = `mkdir -p etc/ufw/sub/empty; cd etc/ufw
  echo hello >file; chmod 4750 file; ln file hard; ln -s file soft; ln -s /etc/hosts absolute; ln -s nowhere dangling
  truncate -s 20M sparse; mkfifo fifo; : >empty-file; echo x >$'new\\nline'; echo x >-rf; echo y >$'not\\xffutf8'; mkdir $'d\\xfe\\\\n'; echo z >$'d\\xfe\\\\n/a'
  find . -exec touch -h -d '2019-09-09 09:09:09.000000001' {} +; touch -d '2020-02-02 02:02:02.123456789' file sub/empty; chmod 1777 sub/empty; chmod 700 sub
  touch -d '2021-01-01 01:01:01.987654321' sub . ; touch -h -d '2019-01-01 00:00:00.5' soft`

describe('an empty target', () => {
  test('gets everything as it is in the archive, to the nanosecond', async () => {
    stage(rich)
    if (isRoot)
      make(
        staged(),
        'cd etc/ufw; chown 1234:5678 file sub; chown -h 1234 soft; chmod 4750 file; touch -d "2021-01-01 01:01:01.987654321" .',
      )
    const before = stateOf(path.join(staged(), 'etc/ufw'))
    expect(await place()).toEqual({ changed: 1, aside: [], stayed: [] })
    expect(stateOf(at('etc/ufw'))).toBe(before)
    expect(lstatSync(at('etc/ufw/sparse')).blocks).toBeLessThan(100)
    expect(lstatSync(at('etc/ufw/file')).ino).toBe(lstatSync(at('etc/ufw/hard')).ino)
    expect(existsSync(at('var'))).toBe(false)
  })

  const xattrs = () => {
    const probe = path.join(folder, 'staging/probe')
    writeFileSync(probe, '')
    const works =
      spawnSync('sh', ['-c', 'setfattr -n user.a -v b "$1" && setfacl -m u:1234:r "$1"', 'x', probe])
        .status === 0
    rmSync(probe)
    return works
  }
  test('extended attributes and access lists, of folders too that are there already', async ({ skip }) => {
    if (!xattrs()) skip('this file system, or this machine, has no extended attributes or access lists')
    const give =
      'setfattr -n user.a -v b etc/ufw etc/ufw/f; setfacl -m u:1234:rx etc/ufw/f; setfacl -m u:1234:rwx -d -m u:77:r etc/ufw'
    const shown = (below: string) =>
      execFileSync('bash', [
        '-c',
        'cd "$1"; getfattr -d etc/ufw etc/ufw/f; getfacl -n etc/ufw etc/ufw/f',
        'x',
        below,
      ]).toString()
    for (const there of ['', 'mkdir -p etc/ufw', 'mkdir -p etc/ufw; echo other >etc/ufw/f']) {
      rmSync(root, { recursive: true })
      make(root, there || ':')
      stage(`mkdir -p etc/ufw; echo x >etc/ufw/f; ${give}`)
      const before = shown(staged())
      await place()
      expect(shown(root), there).toBe(before)
    }
  })

  test('an archive that counts from further down', async () => {
    stage('mkdir tailscale; echo s >tailscale/tailscaled.state')
    await place([{ path: '/var/lib/tailscale', required: true }], 'var/lib')
    expect(read('var/lib/tailscale/tailscaled.state')).toBe('s\n')
  })

  test('entries that match, into a folder that stays as it is', async () => {
    make(root, 'mkdir -p etc/ssh; echo mine >etc/ssh/sshd_config; chmod 711 etc/ssh')
    stage('mkdir -p etc/ssh; echo key >etc/ssh/ssh_host_rsa_key; chmod 600 etc/ssh/*; chmod 700 etc/ssh')
    await place([{ path: '/etc/ssh', match: 'ssh_host_*', required: true }])
    expect(read('etc/ssh/ssh_host_rsa_key')).toBe('key\n')
    expect(statSync(at('etc/ssh')).mode & 0o7777).toBe(0o711)
    expect(read('etc/ssh/sshd_config')).toBe('mine\n')
  })

  test.runIf(isRoot)('folders above it are made with the owner of their parent', async () => {
    make(root, 'mkdir -p home/dev; chown 1234:5678 home/dev')
    stage('mkdir -p home/dev/p/q; echo x >home/dev/p/q/.env')
    await place([{ path: '/home/dev/p/q/.env', required: true }])
    for (const each of ['home/dev/p', 'home/dev/p/q'])
      expect(statSync(at(each))).toMatchObject({ uid: 1234, gid: 5678, mode: 0o40755 })
  })
})

describe('what is there already', () => {
  test.each([{ sources: ufw }, { sources: whole }])(
    'and the same is left, the files themselves too',
    async ({ sources }) => {
      stage(rich)
      await place(sources)
      const inodes = () => execFileSync('find', [at('etc/ufw'), '-printf', '%i %p\\n']).toString()
      const before = [stateOf(at('etc/ufw')), inodes()]
      stage(rich)
      expect(await place(sources)).toEqual({ changed: 0, aside: [], stayed: [] })
      expect([stateOf(at('etc/ufw')), inodes()]).toEqual(before)
    },
  )

  test('and different is kept aside, as it was, where only its owner can read', async () => {
    make(
      root,
      'mkdir -p etc/ufw; echo mine >etc/ufw/a; chmod 640 etc/ufw/a; touch -d "2022-02-02 02:02:02.5" etc/ufw/a; echo stays >etc/ufw/other',
    )
    const before = lstatSync(at('etc/ufw/a'), { bigint: true })
    stage('mkdir -p etc/ufw; echo theirs >etc/ufw/a; chmod 600 etc/ufw/a')
    expect(await place()).toEqual({ changed: 2, aside: ['etc/ufw/a'], stayed: [] })
    expect(read('etc/ufw/a')).toBe('theirs\n')
    expect(read('etc/ufw/other')).toBe('stays\n')
    expect(readFileSync(kept('etc/ufw/a'), 'utf8')).toBe('mine\n')
    const { mode, mtimeNs, ino } = lstatSync(kept('etc/ufw/a'), { bigint: true })
    expect({ mode, mtimeNs, ino }).toEqual({ mode: before.mode, mtimeNs: before.mtimeNs, ino: before.ino })
    expect(statSync(aside()).mode & 0o7777).toBe(0o700)
  })

  test.each<[string, string, string, string[]]>([
    [
      'a folder for a file',
      'mkdir -p etc/ufw/a; echo in >etc/ufw/a/b',
      'echo file >etc/ufw/a',
      ['etc/ufw/a'],
    ],
    ['a file for a folder', 'echo file >etc/ufw/a', 'mkdir etc/ufw/a; echo in >etc/ufw/a/b', ['etc/ufw/a']],
    ['a link for a file', 'ln -s b etc/ufw/a', 'echo file >etc/ufw/a', ['etc/ufw/a']],
    ['a link for a folder', 'ln -s b etc/ufw/a', 'mkdir etc/ufw/a; echo in >etc/ufw/a/b', ['etc/ufw/a']],
    ['a file for a link', 'echo file >etc/ufw/a', 'ln -s /nowhere etc/ufw/a', ['etc/ufw/a']],
    ['a link for another link', 'ln -s b etc/ufw/a', 'ln -s c etc/ufw/a', ['etc/ufw/a']],
    ['a pipe for a file', 'mkfifo etc/ufw/a', 'echo file >etc/ufw/a', ['etc/ufw/a']],
    [
      'the same content with another mode: nothing to keep',
      'echo x >etc/ufw/a; chmod 600 etc/ufw/a',
      'echo x >etc/ufw/a; chmod 644 etc/ufw/a',
      [],
    ],
    ['one byte more', 'echo xy >etc/ufw/a', 'echo x >etc/ufw/a', ['etc/ufw/a']],
  ])('is %s', async (_, archived, there, expected) => {
    make(root, `mkdir -p etc/ufw; ${there}`)
    execFileSync('cp', ['-a', at('etc'), path.join(folder, 'staging/before')])
    stageBeside(`mkdir -p etc/ufw; ${archived}`)
    const wanted = stateOf(path.join(staged(), 'etc/ufw'))
    const before = stateOf(path.join(folder, 'staging/before/ufw'))
    expect((await place()).aside).toEqual(expected)
    expect(stateOf(at('etc/ufw'))).toBe(wanted)
    if (expected.length > 0) expect(linesOf(stateOf(kept('etc/ufw')))).toEqual(linesOf(before))
  })
  const stageBeside = (script: string) => {
    rmSync(staged(), { recursive: true })
    make(staged(), script)
  }
  const linesOf = (state: string) => state.split('\n').filter((line) => !line.startsWith(' d '))

  test('a source restored as a whole: what is not in the archive is put aside', async () => {
    make(
      root,
      'mkdir -p etc/ufw/sub etc/ufw/gone/deep; echo x >etc/ufw/extra; echo x >etc/ufw/sub/extra; echo x >etc/ufw/gone/deep/f; echo x >etc/beside',
    )
    stage('mkdir -p etc/ufw/sub; echo a >etc/ufw/a')
    expect((await place(whole)).aside.sort()).toEqual(['etc/ufw/extra', 'etc/ufw/gone', 'etc/ufw/sub/extra'])
    expect(readdirSync(at('etc/ufw')).sort()).toEqual(['a', 'sub'])
    expect(readFileSync(kept('etc/ufw/gone/deep/f'), 'utf8')).toBe('x\n')
    expect(read('etc/beside')).toBe('x\n')
  })

  test('names that are not UTF-8 are compared and put aside', async () => {
    const name = Buffer.concat([Buffer.from(`${root}/etc/ufw/`), Buffer.from([0xff, 0x41])])
    make(root, 'mkdir -p etc/ufw')
    writeFileSync(name, 'mine')
    stage(`mkdir -p etc/ufw; printf theirs >$'etc/ufw/\\xffA'`)
    expect((await place()).aside).toEqual(['etc/ufw/\ufffdA'])
    expect(readFileSync(name, 'utf8')).toBe('theirs')
  })

  test('folders get mode and times from the archive, and keep what is theirs alone', async () => {
    make(root, `mkdir -p etc/ufw/sub $'etc/ufw/back\\\\new'; echo x >etc/ufw/sub/mine; chmod 700 etc/ufw`)
    const script = `mkdir -p etc/ufw/sub $'etc/ufw/back\\\\new'; echo a >etc/ufw/sub/a; chmod 751 etc/ufw/sub; touch -d 2020-01-01 etc/ufw/sub/a
      touch -d "2020-02-02 02:02:02.123456789" etc/ufw/sub etc/ufw $'etc/ufw/back\\\\new'`
    stage(script)
    await place()
    for (const each of ['etc/ufw', 'etc/ufw/sub', 'etc/ufw/back\\new'])
      expect(lstatSync(at(each), { bigint: true }).mtimeNs).toBe(1_580_608_922_123_456_789n)
    expect(statSync(at('etc/ufw/sub')).mode & 0o7777).toBe(0o751)
    expect(read('etc/ufw/sub/mine')).toBe('x\n')
    stage(script)
    expect((await place()).changed).toBe(0)
  })

  test('what lies aside is never overwritten, even in the same minute', async () => {
    const versions = ['one', 'two', 'three']
    make(root, 'mkdir -p etc/ufw; printf zero >etc/ufw/a')
    for (const version of versions) {
      stage(`mkdir -p etc/ufw; printf ${version} >etc/ufw/a`)
      await place()
    }
    expect(['', '-2', '-3'].map((end) => readFileSync(`${aside()}${end}/etc/ufw/a`, 'utf8'))).toEqual([
      'zero',
      'one',
      'two',
    ])
    expect(statSync(`${aside()}-2`).mode & 0o7777).toBe(0o700)
  })

  test('a link that lies aside is not written through', async () => {
    make(root, 'mkdir -p etc/ufw; ln -s "$2" etc/ufw/d'.replace('"$2"', JSON.stringify(outside)))
    stage('mkdir -p etc/ufw/d; echo a >etc/ufw/d/x')
    await place()
    expect(readlinkSync(kept('etc/ufw/d'))).toBe(outside)
    stage('mkdir -p etc/ufw/d; echo b >etc/ufw/d/x')
    await place()
    expect(readFileSync(`${aside()}-2/etc/ufw/d/x`, 'utf8')).toBe('a\n')
  })
})

describe('who may log in by ssh', () => {
  const keys = (archived: string, there: string) => {
    make(root, `mkdir -p home/dev/.ssh; cd home/dev/.ssh; ${there}`)
    stage(`mkdir -p home/dev/.ssh; cd home/dev/.ssh; ${archived}`)
    return place(home)
  }
  const list = 'home/dev/.ssh/authorized_keys'

  test.each<[string, string, string, string | undefined]>([
    ['what is there, then what is new', 'archived', 'mine', 'mine\narchived\n'],
    ['each key once', 'b\\nc\\na', 'a\\nb', 'a\\nb\\nc\n'.replaceAll('\\n', '\n')],
    ['without a newline at the end', 'b', 'a', 'a\nb\n'],
    ['nothing new: untouched, also what is odd in it', 'a\\n', '\\n# mine\\na\\n\\nb', undefined],
    ['an empty list there', 'a\\n', '', 'a\n'],
    ['an empty list in the archive', '', 'a\\n', undefined],
  ])('%s', async (_, archived, there, merged) => {
    const result = await keys(
      `printf '${archived}' >authorized_keys`,
      `printf '${there}' >authorized_keys; chmod 600 authorized_keys; touch -d 2020-01-01 authorized_keys`,
    )
    expect(read(list)).toBe(merged ?? there.replaceAll('\\n', '\n'))
    if (merged === undefined) expect(statSync(at(list)).mtimeMs).toBe(Date.parse('2020-01-01T00:00:00'))
    expect(result.aside).toEqual([])
    expect(readdirSync(at('home/dev/.ssh'))).toEqual(['authorized_keys'])
    stage(`mkdir -p home/dev/.ssh; printf '${archived}' >${list}`)
    expect((await place(home)).changed, 'a second time').toBe(0)
  })

  test('bytes that are not UTF-8 come through', async () => {
    await keys(`printf 'k\\xff1' >authorized_keys`, `printf 'k\\xfe2' >authorized_keys`)
    expect(readFileSync(at(list), 'latin1')).toBe('k\xfe2\nk\xff1\n')
  })

  test('the list of another file of that name is no list', async () => {
    await keys('mkdir sub; echo a >../authorized_keys', 'echo b >../authorized_keys')
    expect(read('home/dev/authorized_keys')).toBe('a\n')
  })

  test.each([
    ['a link in the archive', 'ln -s /elsewhere authorized_keys', 'echo mine >authorized_keys'],
    ['a folder in the archive', 'mkdir authorized_keys', 'echo mine >authorized_keys'],
    ['a link here', 'echo archived >authorized_keys', 'echo mine >real; ln -s real authorized_keys'],
    [
      'the whole folder a link in the archive',
      'cd ..; rm -r .ssh; ln -s /elsewhere .ssh',
      'echo mine >authorized_keys',
    ],
  ])('%s: the list stays, and that is told', async (_, archived, there) => {
    const { stayed, aside: put } = await keys(archived, there)
    expect(read(list)).toBe('mine\n')
    expect(stayed).toHaveLength(1)
    expect(put).toEqual([])
  })
})

describe('links', () => {
  test('on the way that lead elsewhere inside the root are passed through', async () => {
    make(root, 'mkdir -p mnt/etc; ln -s mnt/etc etc')
    stage('mkdir -p etc/ufw; echo a >etc/ufw/a')
    await place()
    expect(read('mnt/etc/ufw/a')).toBe('a\n')
    expect(lstatSync(at('etc')).isSymbolicLink()).toBe(true)
  })

  test.each<[string, () => void, RegExp]>([
    [
      'leads out of the root',
      () => symlinkSync(outside, at('etc')),
      /etc is a link that leads out of .*root, to .*outside: nothing is written through it/,
    ],
    ['climbs out of the root', () => symlinkSync('../outside', at('etc')), /is a link that leads out of/],
    [
      'leads to a neighbour that begins like the root',
      () => symlinkSync(`${root}-2`, at('etc')),
      /is a link that leads (?:out|nowhere)/,
    ],
    ['leads nowhere', () => symlinkSync('nowhere', at('etc')), /etc is a link that leads nowhere/],
    ['leads to itself', () => symlinkSync('etc', at('etc')), /etc is a link that leads nowhere/],
    [
      'leads to a file',
      () => {
        writeFileSync(at('file'), '')
        symlinkSync('file', at('etc'))
      },
      /is in the way: it is not a folder/,
    ],
    ['is a file', () => writeFileSync(at('etc'), ''), /etc is in the way: it is not a folder/],
  ])('nothing is put anywhere when a folder on the way %s', async (_, hinder, reason) => {
    hinder()
    stage('mkdir -p etc/ufw; echo a >etc/ufw/a')
    const before = stateOf(root)
    const error = await place().catch((thrown) => thrown)
    expect(error).toBeInstanceOf(CannotUnpack)
    expect(error.message).toMatch(reason)
    expect(stateOf(root)).toBe(before)
  })

  test('at the place itself, and within it, are replaced and not followed', async () => {
    make(
      root,
      `mkdir -p etc/ufw; ln -s ${JSON.stringify(`${outside}/sentinel`)} etc/ufw/file; ln -s ${JSON.stringify(outside)} etc/ufw/folder`,
    )
    stage('mkdir -p etc/ufw/folder; echo a >etc/ufw/file; echo a >etc/ufw/folder/sentinel')
    expect((await place()).aside).toEqual(['etc/ufw/file', 'etc/ufw/folder'])
    expect(lstatSync(at('etc/ufw/folder')).isDirectory()).toBe(true)

    rmSync(at('etc/ufw'), { recursive: true })
    symlinkSync(outside, at('etc/ufw'))
    stage('mkdir -p etc/ufw; echo a >etc/ufw/sentinel')
    await place()
    expect(lstatSync(at('etc/ufw')).isDirectory()).toBe(true)
  })

  test('that what is put aside would go out of the root by', async () => {
    make(root, 'mkdir -p etc/ufw; echo mine >etc/ufw/a')
    symlinkSync(outside, at('var'))
    stage('mkdir -p etc/ufw; echo a >etc/ufw/a')
    await expect(place()).rejects.toThrow(/var is a link that leads out of/)
    expect(read('etc/ufw/a')).toBe('mine\n')
  })

  test('planted by an earlier item lead no later one out', async () => {
    stage(`mkdir -p home/dev; ln -s ${JSON.stringify(outside)} home/dev/project`)
    await place(home)
    stage('mkdir -p home/dev/project; echo x >home/dev/project/.env')
    await expect(place([{ path: '/home/dev/project/.env', required: true }])).rejects.toThrow(CannotUnpack)
  })

  test('a link or a file in the archive above a source is refused', async () => {
    for (const hostile of ['ln -s . etc; mkdir cron.d', 'echo x >etc']) {
      stage(hostile)
      await expect(place([{ path: '/etc/ufw', required: true }])).rejects.toThrow(BadArchive)
      expect(existsSync(at('etc'))).toBe(false)
    }
  })

  test('a root that is reached by a link is a root', async () => {
    const link = path.join(root, 'link')
    mkdirSync(at('real'))
    symlinkSync('real', link)
    stage('mkdir -p etc/ufw; echo a >etc/ufw/a')
    await putInPlace({
      staged: staged(),
      base: '',
      root: link,
      sources: ufw,
      aside: path.join(link, 'aside'),
    })
    expect(read('real/etc/ufw/a')).toBe('a\n')
  })
})

test('another time of a file alone is a change, and nothing to keep', async () => {
  const script = 'mkdir -p etc/ufw; echo a >etc/ufw/a; touch -d 2020-01-01 etc/ufw/a'
  stage(script)
  await place()
  utimesSync(at('etc/ufw/a'), 1, 1)
  stage(script)
  expect(await place()).toEqual({ changed: 1, aside: [], stayed: [] })
  expect(statSync(at('etc/ufw/a')).mtimeMs).toBe(Date.parse('2020-01-01T00:00:00'))
})
