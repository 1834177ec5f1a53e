import {
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

test('it names the items, and only its owner can read it', async () => {
  await putMarker(root, ['env', 'ufw'])
  expect(items()).toEqual(['env', 'ufw'])
  expect(readFileSync(file(), 'utf8')).toMatch(
    /^# A restore of these items has begun and not finished: no backup is made/,
  )
  expect(statSync(file()).mode & 0o7777).toBe(0o600)
  expect(statSync(path.dirname(file())).mode & 0o7777).toBe(0o700)
})

test('what an earlier restore left unfinished stays on it, once', async () => {
  await putMarker(root, ['env', 'ufw'])
  await putMarker(root, ['ufw', 'tailscale'])
  expect(items()).toEqual(['env', 'ufw', 'tailscale'])
  expect(await clearMarker(root, ['ufw', 'tailscale'])).toEqual(['env'])
  expect(items()).toEqual(['env'])
})

test('it goes with the last item, and so do the folders that were made for it', async () => {
  mkdirSync(path.join(root, 'var/other'), { recursive: true })
  await putMarker(root, ['env'])
  expect(await clearMarker(root, ['env'])).toEqual([])
  expect(readdirSync(path.join(root, 'var'))).toEqual(['other'])
})

test('it goes and leaves what else lies beside it', async () => {
  await putMarker(root, ['env'])
  writeFileSync(path.join(path.dirname(file()), 'note'), '')
  await clearMarker(root, ['env'])
  expect(readdirSync(path.dirname(file()))).toEqual(['note'])
})

test('a root that is gone or was never there is made, and clearing twice is no error', async () => {
  await putMarker(root, [])
  expect(existsSync(file())).toBe(true)
  await clearMarker(root, [])
  await clearMarker(root, ['env'])
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
