import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Source } from '../../../lib/inventory.ts'
import { withStaging } from '../../../lib/restore/files/staging.ts'

let folder: string
let root: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'staging-'))
  root = path.join(folder, 'root')
  mkdirSync(path.join(root, 'etc/ssl'), { recursive: true })
})
afterEach(() => rmSync(folder, { recursive: true }))

const source = (file: string, over: Partial<Source> = {}): Source => ({ path: file, required: true, ...over })
/** The folder beside which the staging folder was made, below the root. */
const parentOf = (...sources: Source[]) =>
  withStaging(root, sources, async (tree) => {
    expect(readdirSync(tree)).toEqual([])
    for (const each of [tree, path.dirname(tree)]) expect(statSync(each).mode & 0o7777).toBe(0o700)
    return path.relative(root, path.dirname(path.dirname(tree)))
  })

test.each<[string, Source[], string]>([
  ['beside the source', [source('/etc/ufw')], 'etc'],
  ['in the folder whose entries are the source', [source('/etc/ssl', { match: 'a*' })], 'etc/ssl'],
  ['beside all of them', [source('/etc/letsencrypt'), source('/etc/ssl/private')], 'etc'],
  ['where two have nothing in common', [source('/etc/ufw'), source('/root')], ''],
  ['the deepest folder that is there', [source('/home/dev/comfyume-v1/.env')], ''],
  ['the same for more than one', [source('/etc/a/b/c'), source('/etc/a/b/d')], 'etc'],
])('it lies %s', async (_, sources, parent) => {
  expect(await parentOf(...sources)).toBe(parent)
  expect(readdirSync(root)).toEqual(['etc'])
})

test('a file in the place of a folder is not taken for one', async () => {
  writeFileSync(path.join(root, 'home'), '')
  expect(await parentOf(source('/home/dev/x'))).toBe('')
})

test('it is gone afterwards, whatever happened in it', async () => {
  const failing = withStaging(root, [source('/etc/ufw')], async (tree) => {
    mkdirSync(path.join(tree, 'a/b'), { recursive: true })
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect(readdirSync(path.join(root, 'etc'))).toEqual(['ssl'])
})

test('what killed restores left is removed, also where it lay while less was there; nothing else is', async () => {
  for (const each of [
    '.comfyume-restore-1a',
    'etc/.comfyume-restore-2b/tree/x',
    'etc/ssl/.comfyume-restore-3c',
    'etc/other/.comfyume-restore-4d',
    'etc/comfyume-restore-x',
    'etc/.comfyume',
  ])
    mkdirSync(path.join(root, each), { recursive: true })
  mkdirSync(path.join(folder, '.comfyume-restore-outside'))
  await parentOf(source('/etc/ssl/private'))
  const left = [
    'etc/other/.comfyume-restore-4d',
    'etc/comfyume-restore-x',
    'etc/.comfyume',
    '../.comfyume-restore-outside',
  ]
  for (const each of left) expect(existsSync(path.join(root, each)), each).toBe(true)
  for (const each of ['.comfyume-restore-1a', 'etc/.comfyume-restore-2b', 'etc/ssl/.comfyume-restore-3c'])
    expect(existsSync(path.join(root, each)), each).toBe(false)
})

test('a link that has its name is removed, and not what it leads to', async () => {
  mkdirSync(path.join(folder, 'precious'))
  writeFileSync(path.join(folder, 'precious/a'), '')
  symlinkSync(path.join(folder, 'precious'), path.join(root, 'etc/.comfyume-restore-5e'))
  await parentOf(source('/etc/ufw'))
  expect(existsSync(path.join(folder, 'precious/a'))).toBe(true)
  expect(readdirSync(path.join(root, 'etc'))).toEqual(['ssl'])
})

test.each(['outside', '/'])(
  'it never lies out of the root, wherever a folder leads as a link (%s)',
  async (target) => {
    mkdirSync(path.join(folder, 'outside/.comfyume-restore-6f'), { recursive: true })
    symlinkSync(target === '/' ? '/' : path.join(folder, target), path.join(root, 'home'))
    expect(await parentOf(source('/home/dev'))).toBe('')
    expect(readdirSync(path.join(folder, 'outside'))).toEqual(['.comfyume-restore-6f'])
  },
)
