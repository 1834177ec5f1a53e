import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { putInPlace } from '../../../lib/restore/files/put-in-place.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'links-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const at = (name: string) => path.join(folder, name)
const names = ['one/model', 'two/second name', 'three/third name']

/** A tree with one file of three names, as an archive of it would be unpacked. */
function lay(tree: string): void {
  for (const name of names) mkdirSync(path.dirname(at(`${tree}/home/dev/${name}`)), { recursive: true })
  const [first = '', ...others] = names.map((name) => at(`${tree}/home/dev/${name}`))
  writeFileSync(first, 'weights')
  utimesSync(first, 1e9, 1e9)
  for (const other of others) linkSync(first, other)
  for (const name of names) utimesSync(path.dirname(at(`${tree}/home/dev/${name}`)), 1e9, 1e9)
}

const place = () =>
  putInPlace({
    staged: at('tree'),
    base: '',
    root: at('root'),
    sources: [{ path: '/home/dev', required: true }],
    aside: at('aside'),
  })
const placed = () => names.map((name) => statSync(at(`root/home/dev/${name}`)))

test.each<[string, string[], number]>([
  ['nothing is there', [], 0],
  ['the first name is there', names.slice(1), 3],
  ['only the last is there', names.slice(0, 2), 3],
  ['only the one in the middle is missing', ['two/second name'], 3],
])('names of one file are one file again when %s', async (_what, missing, changed) => {
  lay('root')
  for (const name of missing) rmSync(path.dirname(at(`root/home/dev/${name}`)), { recursive: true })
  lay('tree')
  expect((await place()).changed).toBe(changed)
  expect(new Set(placed().map(({ ino }) => ino)).size).toBe(1)
  for (const name of names) {
    const parent = path.dirname(at(`root/home/dev/${name}`))
    expect(readdirSync(parent)).toEqual([path.basename(name)])
    expect(statSync(parent).mtimeMs).toBe(1e12)
  }
})

test('what is there whole is left as it is', async () => {
  lay('root')
  const before = placed().map(({ ino }) => ino)
  lay('tree')
  expect(await place()).toEqual({ changed: 0, aside: [], stayed: [] })
  expect(placed().map(({ ino }) => ino)).toEqual(before)
})

test('names that are not UTF-8 are names of one file too', async () => {
  const [first, second] = [0x61, 0x62].map((letter) => Buffer.from([letter, 0xff])) as [Buffer, Buffer]
  const below = (tree: string, name: Buffer) => Buffer.concat([Buffer.from(at(`${tree}/home/dev/`)), name])
  for (const tree of ['root', 'tree']) mkdirSync(at(`${tree}/home/dev`), { recursive: true })
  writeFileSync(below('tree', first), 'weights')
  utimesSync(below('tree', first), 1e9, 1e9)
  linkSync(below('tree', first), below('tree', second))
  writeFileSync(below('root', second), 'weights')
  utimesSync(below('root', second), 1e9, 1e9)
  await place()
  const inodes = [first, second].map((name) => statSync(below('root', name)).ino)
  expect(inodes[0]).toBe(inodes[1])
})
