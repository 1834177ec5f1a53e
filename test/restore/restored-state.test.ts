import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { localHost } from '../../lib/hosts/local.ts'
import type { RestoreContext } from '../../lib/restore/context.ts'
import { isBack, lookOf, rememberRestored } from '../../lib/restore/marker.ts'
import type { Offer } from '../../lib/restore-order.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'notes-'))
  mkdirSync(path.join(root, 'etc/ufw'), { recursive: true })
  writeFileSync(path.join(root, 'etc/ufw/a'), 'hello')
})
afterEach(() => rmSync(root, { recursive: true }))

const sha256 = 'a'.repeat(64)
const key = 'config/ufw-2026-11-24.tar.gz'
const recorded: Offer = {
  source: 'sfs',
  kind: 'recorded',
  key,
  environment: 'production',
  record: { sha256, archive: 'x' },
}
const { record: _, ...unrecorded } = recorded
const site = (drill = false) => ({ root, drill, host: localHost({ name: 'verda', root }) }) as RestoreContext
const look = () => lookOf(site(), [{ path: '/etc/ufw', required: true }])
const note = (over = {}, drill = false) =>
  rememberRestored(site(drill), 'ufw', { key, sha256, ...over }, look())
const back = (offer: Offer = recorded, drill = false) => isBack(site(drill), 'ufw', offer, look())
const file = () => path.join(root, 'var/lib/comfyume-backup/restored/ufw.json')

test('nothing is back before it was noted, then it is, until something changes', async () => {
  expect(await back()).toBe(false)
  await note()
  expect(await back()).toBe(true)
  chmodSync(path.join(root, 'etc/ufw/a'), 0o600)
  expect(await back()).toBe(false)
})

test.each<[string, () => void]>([
  ['a file more', () => writeFileSync(path.join(root, 'etc/ufw/b'), '')],
  ['other content', () => writeFileSync(path.join(root, 'etc/ufw/a'), 'hullo')],
  ['all of it gone', () => rmSync(path.join(root, 'etc/ufw'), { recursive: true })],
  ['the note cut off', () => writeFileSync(file(), '{"key": "conf')],
  ['the note of another kind', () => writeFileSync(file(), 'null')],
])('%s: not back', async (_, change) => {
  await note()
  expect(await back()).toBe(true)
  change()
  expect(await back()).toBe(false)
})

test('another copy is not back, whatever its name; of one without a record the name tells', async () => {
  await note()
  expect(await back({ ...recorded, record: { sha256: 'b'.repeat(64), archive: 'x' } })).toBe(false)
  expect(await back({ ...recorded, key: 'root/ufw-2026-11-24.tar.gz' }), 'the same from elsewhere').toBe(true)
  expect(await back({ ...unrecorded, kind: 'unrecorded' })).toBe(true)
  expect(await back({ ...unrecorded, kind: 'unrecorded', key: 'other' })).toBe(false)
})

test('a drill neither takes notes nor believes them', async () => {
  await note({}, true)
  expect(readdirSync(root)).toEqual(['etc'])
  await note()
  expect(await back(recorded, true)).toBe(false)
})

test('what is not there takes no note', async () => {
  rmSync(path.join(root, 'etc/ufw'), { recursive: true })
  await note()
  expect(readdirSync(root)).toEqual(['etc'])
})

test('only its owner can read it, and no secret but digests is in it', async () => {
  await note()
  expect(statSync(file()).mode & 0o7777).toBe(0o600)
  expect(Object.keys(JSON.parse(readFileSync(file(), 'utf8')))).toEqual(['key', 'sha256', 'fingerprint'])
})
