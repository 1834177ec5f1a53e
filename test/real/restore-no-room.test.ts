import { execFileSync, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Source } from '../../lib/inventory.ts'
import { putInPlace } from '../../lib/restore/files/put-in-place.ts'
import { withStaging } from '../../lib/restore/files/staging.ts'
import { CannotUnpack, unpack } from '../../lib/restore/files/unpack.ts'
import { tarOf } from '../restore/tar-writer.ts'

/** Faults that need root and mounts: a full disk, and folders on another file system. */

let folder: string
let root: string
const mounts: string[] = []
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'no-room-'))
  root = path.join(folder, 'root')
  mkdirSync(root)
})
afterEach(() => {
  for (const mount of mounts.splice(0).reverse()) spawnSync('umount', ['-l', mount])
  rmSync(folder, { recursive: true })
})
function mountTmpfs(at: string, size: string) {
  mkdirSync(at, { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', at])
  mounts.push(at)
}

const ufw: Source[] = [{ path: '/etc/ufw', required: true, whole: true }]
const restore = (archive: Buffer, sources = ufw) =>
  withStaging(root, sources, async (tree) => {
    const sha256 = createHash('sha256').update(archive).digest('hex')
    await unpack(Readable.from([archive], { objectMode: false }), tree, {
      attributes: '*',
      record: { sha256, archive: 'x' },
    })
    return putInPlace({ staged: tree, base: '', root, sources, aside: path.join(root, 'var/aside') })
  })

test('a disk that fills up is no bad archive: what is there stays, and the staging folder is gone', async () => {
  mountTmpfs(root, '8M')
  mkdirSync(path.join(root, 'etc/ufw'), { recursive: true })
  writeFileSync(path.join(root, 'etc/ufw/a'), 'mine')
  const archive = gzipSync(tarOf({ name: 'etc/ufw/a', content: randomBytes(9_000_000) }))
  const error = await restore(archive).catch((thrown) => thrown)
  expect(error).toBeInstanceOf(CannotUnpack)
  expect(error.message).toMatch(/^not enough space for it below .*: free some, then run again: /)
  expect(readFileSync(path.join(root, 'etc/ufw/a'), 'utf8')).toBe('mine')
  expect(readdirSync(path.join(root, 'etc'))).toEqual(['ufw'])
})

test('a few MB that unpack to more than the disk has fill it for a moment only', async () => {
  mountTmpfs(root, '32M')
  const bomb = gzipSync(tarOf({ name: 'etc/ufw/a', content: Buffer.alloc(300_000_000) }), { level: 1 })
  expect(bomb.length).toBeLessThan(4_000_000)
  await expect(restore(bomb)).rejects.toThrow(CannotUnpack)
  expect(readdirSync(root)).toEqual([])
})

test('a source that lies on a file system of its own is filled by copies, with modes and times', async () => {
  mountTmpfs(path.join(root, 'home/dev'), '16M')
  mkdirSync(path.join(root, 'home/dev/old'))
  writeFileSync(path.join(root, 'home/dev/old/f'), 'mine')
  const archive = gzipSync(
    tarOf(
      { name: 'home/dev/', type: 'folder', mode: 0o750, mtime: 1_600_000_000 },
      { name: 'home/dev/new/', type: 'folder', mtime: 1_600_000_001 },
      { name: 'home/dev/new/f', content: 'x', mode: 0o640, mtime: 1_600_000_002 },
      { name: 'home/dev/old/f', content: 'archived', mtime: 1_600_000_003 },
    ),
  )
  const home: Source[] = [{ path: '/home/dev', required: true }]
  expect((await restore(archive, home)).aside).toEqual(['home/dev/old/f'])
  const shown = execFileSync('find', [path.join(root, 'home/dev'), '-printf', '%P %m %T@\n'])
    .toString()
    .split('\n')
    .sort()
  expect(shown).toEqual(
    expect.arrayContaining([
      ' 750 1600000000.0000000000',
      'new 755 1600000001.0000000000',
      'new/f 640 1600000002.0000000000',
      'old/f 644 1600000003.0000000000',
    ]),
  )
  expect(readFileSync(path.join(root, 'var/aside/home/dev/old/f'), 'utf8')).toBe('mine')
  expect((await restore(archive, home)).changed).toBe(0)
})

test('a mount point in the way is named, and what to do', async () => {
  mountTmpfs(path.join(root, 'etc/ufw/mounted'), '1M')
  await expect(restore(gzipSync(tarOf({ name: 'etc/ufw/a', content: 'x' })))).rejects.toThrow(
    /mounted .*is a mount point, which cannot be moved: unmount it, then run again: /,
  )
})
