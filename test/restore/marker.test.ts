import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { restoreUnderWay } from '../../lib/capture/restoring.ts'
import { localHost } from '../../lib/hosts/local.ts'
import { restoringMarker } from '../../lib/inventory.ts'
import { clearMarker, putMarker } from '../../lib/restore/marker.ts'

let folder: string
let root: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'marker-'))
  root = path.join(folder, 'root')
})
afterEach(() => rmSync(folder, { recursive: true }))
const file = () => path.join(root, restoringMarker)
const items = () =>
  readFileSync(file(), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))

test('it names the items, and every user can see it, whatever the umask', async () => {
  const before = process.umask(0o077)
  await putMarker(root, ['env', 'ufw']).finally(() => process.umask(before))
  expect(items()).toEqual(['env', 'ufw'])
  expect(readFileSync(file(), 'utf8')).toMatch(
    /^# The restore of these items is not finished: this machine is not backed up/,
  )
  expect(statSync(file()).mode & 0o7777).toBe(0o644)
  // Who is not its owner cannot list what else is in the folder.
  expect(statSync(path.dirname(file())).mode & 0o7777).toBe(0o711)
})

test.skipIf(process.getuid?.() !== 0)('another user sees it in a folder that was closed before', async () => {
  chmodSync(folder, 0o755)
  mkdirSync(path.dirname(file()), { recursive: true })
  chmodSync(path.dirname(file()), 0o700)
  await putMarker(root, ['env'])
  expect(() => execFileSync('test', ['-e', file()], { uid: 65534, gid: 65534 })).not.toThrow()
})

test('what an earlier restore left unfinished stays on it, once', async () => {
  await putMarker(root, ['env', 'ufw'])
  await putMarker(root, ['ufw', 'tailscale'])
  expect(items()).toEqual(['env', 'ufw', 'tailscale'])
  expect(await clearMarker(root, ['ufw', 'tailscale'], false)).toEqual(['env'])
  expect(items()).toEqual(['env'])
})

test('it goes with the last item of a drill, and so do the folders that were made for it', async () => {
  mkdirSync(path.join(root, 'var/other'), { recursive: true })
  await putMarker(root, ['env'])
  expect(await clearMarker(root, ['env'], true)).toEqual([])
  expect(readdirSync(path.join(root, 'var'))).toEqual(['other'])
})

test('on a machine its folder stays, and a backup sees by it that a restore began, and that it ended', async () => {
  const host = localHost({ name: 'verda', root })
  const seen = [await restoreUnderWay(host)]
  for (const step of [
    () => putMarker(root, ['env', 'ufw']),
    () => clearMarker(root, ['env'], false),
    () => clearMarker(root, ['ufw'], false),
    () => putMarker(root, ['env']),
    () => clearMarker(root, ['env'], false),
  ]) {
    await step()
    seen.push(await restoreUnderWay(host))
  }
  expect(seen.map(({ is }) => is)).toEqual(['no', 'yes', 'yes', 'no', 'yes', 'no'])
  expect(new Set(seen.map(({ trace }) => trace)).size).toBe(seen.length)
  expect(readdirSync(path.dirname(file()))).toEqual([])
})

test('it goes and leaves what else lies beside it', async () => {
  await putMarker(root, ['env'])
  writeFileSync(path.join(path.dirname(file()), 'note'), '')
  await clearMarker(root, ['env'], true)
  expect(readdirSync(path.dirname(file()))).toEqual(['note'])
})

test('a root that is gone or was never there is made, and clearing twice is no error', async () => {
  await putMarker(root, [])
  expect(existsSync(file())).toBe(true)
  await clearMarker(root, [], true)
  await clearMarker(root, ['env'], true)
  expect(readdirSync(root)).toEqual([])
})

test('one that was cut off while it was written still counts, and names nothing', async () => {
  await putMarker(root, ['env'])
  writeFileSync(file(), '# A rest')
  await putMarker(root, ['ufw'])
  expect(items()).toEqual(['ufw'])
})

test.each(['var', 'var/lib', 'var/lib/comfyume-backup'])(
  'nothing is marked out of the root, where %s is a link',
  async (link) => {
    const outside = path.join(folder, 'outside')
    mkdirSync(outside)
    mkdirSync(path.dirname(path.join(root, link)), { recursive: true })
    symlinkSync(outside, path.join(root, link))
    await expect(putMarker(root, ['env'])).rejects.toThrow(/is a link that leads out of/)
    expect(readdirSync(outside)).toEqual([])
  },
)
