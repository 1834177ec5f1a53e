import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bringBack } from '../../../lib/restore/files/bring-back.ts'
import { noteTexts } from '../../../lib/restore/show.ts'
import { ownerOfFirst } from '../../../lib/restore/steps/user.ts'
import { drillOf } from '../a-drill.ts'
import { type Member, tarOf } from '../tar-writer.ts'

let folder: string
let root: string
let notes: string[]
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'bring-back-'))
  root = path.join(folder, 'root')
  notes = []
  for (const each of [root, path.join(folder, 'sfs/cache/config'), path.join(folder, 'mello/config')])
    mkdirSync(each, { recursive: true })
})
afterEach(() => rmSync(folder, { recursive: true }))

const gz = (...members: Member[]) => gzipSync(tarOf(...members))
/** Puts an archive, with its record unless that is left out or another digest is given. */
function store(
  place: 'sfs' | 'mello',
  name: string,
  archive: Buffer,
  { sha256, bare = false }: { sha256?: string; bare?: boolean } = {},
) {
  const file = path.join(folder, place === 'sfs' ? 'sfs/cache/config' : 'mello/config', name)
  writeFileSync(file, archive)
  const digest = sha256 ?? createHash('sha256').update(archive).digest('hex')
  if (!bare) writeFileSync(`${file}.sha256`, `${digest}  ${name}\n`)
}
const site = (item: string, env: Record<string, string> = {}) =>
  drillOf(item, { folder, root, notes, now: new Date('2026-11-24T10:00:00Z'), env })
const good = (content: string) => gz({ name: 'etc/ufw/', type: 'folder' }, { name: 'etc/ufw/a', content })
const read = (file: string) => readFileSync(path.join(root, file), 'utf8')

describe('from the best copy that is good', () => {
  test('whose file that the item must have is empty, falls through to the next', async () => {
    const keys = (day: string, content: string) =>
      store(
        'sfs',
        `ssh-host-keys-2026-11-${day}.tar.gz`,
        gz(
          { name: 'etc/ssh/ssh_host_rsa_key', content },
          { name: 'etc/ssh/ssh_host_rsa_key.pub', content: 'public' },
        ),
      )
    keys('23', 'key')
    keys('24', '')
    const here = await site('ssh-host-keys')
    await bringBack(here, 'ssh-host-keys')
    expect(read('etc/ssh/ssh_host_rsa_key')).toBe('key')
    expect(here.outcomes.get('ssh-host-keys')?.passed).toMatchObject([
      { reason: expect.stringMatching(/no \*\/ssh_host_\*_key with content/) },
    ])
  })

  test.each<[string, () => Buffer, { sha256?: string }, RegExp]>([
    ['cut short', () => good('newest').subarray(0, 100), {}, /cannot be unpacked/],
    ['unlike its record', () => good('newest'), { sha256: 'b'.repeat(64) }, /not what its record says/],
    [
      'of another item',
      () => gz({ name: 'etc/passwd', content: 'x' }),
      {},
      /^it holds etc\/passwd, which does not belong to ufw here \(\/etc\/ufw, \/etc\/default\/ufw\)$/,
    ],
    [
      'with more than the item',
      () => gz({ name: 'etc/ufw/a', content: 'x' }, { name: 'etc/\u001bpasswd' }),
      {},
      /^it holds etc\/\\u001bpasswd, which does not belong to ufw/,
    ],
    [
      'of a device alone',
      () => gz({ name: 'etc/ufw/a', type: 'character device', device: [0, 0] }),
      {},
      /no file has content/,
    ],
    [
      'of nothing but folders',
      () => gz({ name: 'etc/', type: 'folder' }),
      {},
      /^it holds etc\/, which does not belong/,
    ],
    ['empty', () => gzipSync(tarOf(), { level: 0 }), {}, /^it is empty$/],
  ])('one that is %s gives way to the next, and that is told', async (_, make, options, reason) => {
    store('sfs', 'ufw-2026-11-24.tar.gz', make(), options)
    store('sfs', 'ufw-2026-11-22.tar.gz', good('second of sfs'))
    store('mello', 'ufw-2026-11-23.tar.gz', good('first of mello'))
    const here = await site('ufw')
    expect(await bringBack(here, 'ufw')).toMatchObject({ changed: true })
    expect(read('etc/ufw/a')).toBe('first of mello')
    const key = 'config/ufw-2026-11-24.tar.gz'
    expect(here.outcomes.get('ufw')).toMatchObject({
      status: 'restored',
      source: 'mello',
      verified: true,
      passed: [{ source: 'sfs', key, reason: expect.stringMatching(reason) }],
    })
    expect(notes).toEqual([expect.stringContaining(`ufw: ${key} in sfs is skipped: `)])
    expect(readdirSync(path.join(root, 'etc'))).toEqual(['ufw'])
  })

  test.each<[string, () => Buffer, RegExp]>([
    ['packed nothing', () => gz(), /^has 29 bytes: an empty archive$/],
    ['a beginning of 60 bytes', () => good('newest').subarray(0, 60), /^has 60 bytes: an empty archive$/],
  ])('%s is not even opened, and its source gives way to the next', async (_, make, reason) => {
    store('sfs', 'ufw-2026-11-24.tar.gz', make())
    store('sfs', 'ufw-2026-11-22.tar.gz', good('second of sfs'))
    store('mello', 'ufw-2026-11-23.tar.gz', good('first of mello'))
    const here = await site('ufw')
    const key = 'config/ufw-2026-11-24.tar.gz'
    const passed = [{ source: 'sfs', key, reason: expect.stringMatching(reason) }]
    expect(await bringBack(here, 'ufw')).toMatchObject({ changed: true })
    expect(read('etc/ufw/a')).toBe('first of mello')
    expect(here.outcomes.get('ufw')).toMatchObject({
      status: 'restored',
      source: 'mello',
      verified: true,
      passed,
    })
    expect(notes, 'which the plan has told').toEqual([])
    expect(noteTexts(here.plan)).toEqual([
      expect.stringMatching(
        /^SKIPPED ufw: config\/ufw-2026-11-24\.tar\.gz in sfs has \d+ bytes: an empty archive$/,
      ),
    ])
  })

  test('none good: the item fails, says why, and nothing of it is put anywhere', async () => {
    mkdirSync(path.join(root, 'etc/ufw'), { recursive: true })
    writeFileSync(path.join(root, 'etc/ufw/a'), 'mine')
    store('sfs', 'ufw-2026-11-24.tar.gz', good('x').subarray(0, 100))
    store('mello', 'ufw-2026-11-24.tar.gz', good('y'), { sha256: 'b'.repeat(64) })
    const here = await site('ufw')
    let stopped = false
    const before = async () => {
      stopped = true
    }
    await expect(bringBack(here, 'ufw', { before })).rejects.toThrow(
      /^none of 2 copies is good; the last, config\/ufw-2026-11-24.tar.gz in mello: it is not what its record says/,
    )
    expect(here.outcomes.get('ufw')).toMatchObject({ status: 'failed' })
    expect(stopped, 'what uses the files').toBe(false)
    expect(read('etc/ufw/a')).toBe('mine')
    expect(readdirSync(path.join(root, 'etc'))).toEqual(['ufw'])
  })

  test('what this machine cannot take is not tried with other copies', async () => {
    for (const place of ['sfs', 'mello'] as const) store(place, 'ufw-2026-11-24.tar.gz', good('x'))
    symlinkSync(folder, path.join(root, 'etc'))
    const here = await site('ufw')
    await expect(bringBack(here, 'ufw')).rejects.toThrow(/etc is a link that leads out of/)
    expect(here.outcomes.get('ufw')?.passed).toBeUndefined()
    expect(readdirSync(folder).sort()).toEqual(['mello', 'root', 'sfs'])
  })

  test('an older archive without a record, relative to /var/lib, is taken and told to be unverified', async () => {
    const state = '{"_machinekey":"x","_current-profile":"cHJvZmlsZS0x","profile-1":"x"}'
    store('sfs', 'tailscale-latest.tar.gz', gz({ name: './tailscale/tailscaled.state', content: state }), {
      bare: true,
    })
    const here = await site('tailscale')
    await bringBack(here, 'tailscale')
    expect(read('var/lib/tailscale/tailscaled.state')).toBe(state)
    expect(here.outcomes.get('tailscale')).toMatchObject({
      verified: false,
      key: 'config/tailscale-latest.tar.gz',
    })
  })

  test('a second time nothing changes', async () => {
    store('sfs', 'ufw-2026-11-24.tar.gz', good('x'))
    await bringBack(await site('ufw'), 'ufw')
    const again = await site('ufw')
    expect(await bringBack(again, 'ufw')).toMatchObject({ changed: false })
    expect(again.outcomes.get('ufw')).toMatchObject({ status: 'unchanged' })
  })

  test.each(['/home/dev/größe', '/srv/a b/[c]*', '/srv/back\\slash'])(
    'a project in %s',
    async (PROJECT_DIR) => {
      store('sfs', 'env-2026-11-24.tar.gz', gz({ name: `${PROJECT_DIR.slice(1)}/.env`, content: 'A=1' }))
      await bringBack(await site('env', { PROJECT_DIR }), 'env')
      expect(read(`${PROJECT_DIR}/.env`)).toBe('A=1')
    },
  )

  test('lists of who may log in that cannot be merged stay, and are named', async () => {
    mkdirSync(path.join(root, 'root/.ssh'), { recursive: true })
    writeFileSync(path.join(root, 'root/.ssh/authorized_keys'), 'mine')
    store(
      'sfs',
      'root-home-2026-11-24.tar.gz',
      gz(
        { name: 'root/.ssh/authorized_keys', type: 'link', link: '/elsewhere' },
        { name: 'root/a', content: 'x' },
      ),
    )
    await bringBack(await site('root-home'), 'root-home')
    expect(read('root/.ssh/authorized_keys')).toBe('mine')
    expect(notes).toEqual([expect.stringMatching(/^root-home: root\/\.ssh\/authorized_keys is left alone/)])
  })
})

describe('whose an archive is', () => {
  const owner = (archive: Buffer) => ownerOfFirst(Readable.from([archive], { objectMode: false }))
  test.each<[string, () => Buffer, object | undefined]>([
    [
      'that of its first member',
      () => gz({ name: 'home/dev/', type: 'folder', uid: 1234, gid: 5678 }, { name: 'home/dev/a', uid: 1 }),
      { uid: 1234, gid: 5678 },
    ],
    [
      'of a first member with a strange name',
      () => gz({ name: 'a 9/9 b\nc', uid: 1234, gid: 5678 }),
      { uid: 1234, gid: 5678 },
    ],
    ['nobody, when it is no archive', () => Buffer.from('noise'), undefined],
    ['nobody, when it is empty', () => gz(), undefined],
    [
      'nobody, when a name of gigabytes comes first',
      () => gz({ name: 'x', type: 'long name', size: 8 ** 11 - 1 }, { name: 'a' }),
      undefined,
    ],
  ])('%s', async (_, make, expected) => {
    expect(await owner(make())).toEqual(expected)
  })

  test('only the beginning is read', async () => {
    const content = Buffer.from(Array.from({ length: 3_000_000 }, () => Math.floor(Math.random() * 256)))
    const archive = gz(...Array.from({ length: 80 }, (_, n) => ({ name: `home/dev/${n}`, uid: 7, gid: 8 })), {
      name: 'large',
      content,
    })
    let given = 0
    const source = Readable.from(
      (function* () {
        for (let at = 0; ; at = (at + 1000) % archive.length) {
          given += 1000
          yield archive.subarray(at, at + 1000)
        }
      })(),
      { objectMode: false },
    )
    expect(await ownerOfFirst(source)).toEqual({ uid: 7, gid: 8 })
    expect(given, 'of a source without an end').toBeLessThan(200_000_000)
  })
})

test('what a drill leaves is what was restored', async () => {
  store('sfs', 'ufw-2026-11-24.tar.gz', good('x'))
  await bringBack(await site('ufw'), 'ufw')
  expect(readdirSync(root)).toEqual(['etc'])
  expect(existsSync(path.join(root, 'var'))).toBe(false)
})
