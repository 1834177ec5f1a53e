import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type ModelShelf, type ModelsWanted, missingModels } from '../../../lib/restore/plan/models.ts'
import { bringModels } from '../../../lib/restore/steps/models.ts'
import { directoryStore } from '../../../lib/stores/directory/store.ts'
import type { AppendOnlyStore } from '../../../lib/stores/store.ts'

let folder: string
let target: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'models-'))
  target = path.join(folder, 'target')
})
afterEach(() => rmSync(folder, { recursive: true }))

const put = (place: string, name: string, content: string | Buffer, { record = false } = {}) => {
  const file = path.join(folder, place, name)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, content)
  const digest = createHash('sha256').update(content).digest('hex')
  if (record) writeFileSync(`${file}.sha256`, `${digest}  ${path.basename(file)}\n`)
}
const share = (): ModelShelf => {
  const here = path.join(folder, 'share')
  return { name: 'sfs', store: directoryStore({ name: 'sfs', root: here }), folder: '', here }
}
const bucket = (wrap = (store: AppendOnlyStore) => store, below = ''): ModelShelf => ({
  name: 'r2',
  store: wrap(directoryStore({ name: 'r2', root: path.join(folder, 'bucket') })),
  folder: below,
})
let told = { total: 0, bytes: 0 }
const wanted = (...shelves: ModelShelf[]): ModelsWanted => {
  told = { total: 0, bytes: 0 }
  return {
    shelves,
    target,
    folders: ['checkpoints', 'loras', 'vae'],
    extension: '.safetensors',
  }
}
const watch = {
  total: (bytes: number) => {
    told.total += bytes
  },
  bytes: (bytes: number) => {
    told.bytes += bytes
  },
}
const bring = async (...shelves: ModelShelf[]) =>
  (await bringModels(wanted(...shelves), watch)).map(({ path: name, status }) => `${status} ${name}`)
const at = (name: string) => path.join(target, name)
const model = 'checkpoints/a.safetensors'

describe('from the share', () => {
  test('they are linked to', async () => {
    put('share', model, 'hello')
    put('share', 'loras/deep/b.safetensors', 'x')
    expect(await bring(share(), bucket())).toEqual([`linked ${model}`, 'linked loras/deep/b.safetensors'])
    expect(readlinkSync(at(model))).toBe(path.join(folder, 'share', model))
    expect(readFileSync(at(model), 'utf8')).toBe('hello')
    expect(await bring(share(), bucket())).toEqual([
      `unchanged ${model}`,
      'unchanged loras/deep/b.safetensors',
    ])
  })

  test('a share that is the target itself has them already', async () => {
    put('share', model, 'hello')
    target = path.join(folder, 'share')
    expect(await bring(share())).toEqual([`unchanged ${model}`])
    expect(lstatSync(at(model)).isFile()).toBe(true)
  })

  test('a link that leads nowhere or to another size is made anew', async () => {
    put('share', model, 'hello')
    put('share', 'vae/b.safetensors', 'hello')
    put('other', 'b', 'wrong size')
    for (const each of ['checkpoints', 'vae']) mkdirSync(at(each), { recursive: true })
    symlinkSync('/nowhere', at(model))
    symlinkSync(path.join(folder, 'other/b'), at('vae/b.safetensors'))
    expect(await bring(share())).toEqual([`linked ${model}`, 'linked vae/b.safetensors'])
    expect(readFileSync(path.join(folder, 'other/b'), 'utf8')).toBe('wrong size')
  })

  test('one that is half there on the share comes from the store, whose size is the true one', async () => {
    put('share', model, 'hel')
    put('bucket', model, 'hello', { record: true })
    expect(await bring(share(), bucket())).toEqual([`downloaded ${model}`])
    expect(readFileSync(at(model), 'utf8')).toBe('hello')
    expect(lstatSync(at(model)).isFile()).toBe(true)
  })
})

describe('from a store', () => {
  test('they are downloaded, readable for all, and compared with their records', async () => {
    const content = Buffer.alloc(3_000_000, 'ab')
    put('bucket', model, content, { record: true })
    put('bucket', 'vae/b.safetensors', 'without a record')
    expect(await bring(bucket())).toEqual([`downloaded ${model}`, 'downloaded vae/b.safetensors'])
    expect(readFileSync(at(model)).equals(content)).toBe(true)
    expect(statSync(at(model)).mode & 0o777).toBe(0o644)
    expect(readdirSync(at('checkpoints'))).toEqual(['a.safetensors'])
    expect(told).toEqual({ total: 3_000_016, bytes: 3_000_016 })
  })

  test('below the folder of another environment', async () => {
    put('bucket', `staging/${model}`, 'hello')
    expect(await bring(bucket(undefined, 'staging/'))).toEqual([`downloaded ${model}`])
  })

  test('one of another digest than its record is not kept, and the next shelf is asked', async () => {
    put('bucket', model, 'hello')
    writeFileSync(path.join(folder, `bucket/${model}.sha256`), `${'b'.repeat(64)}  a.safetensors\n`)
    const [outcome] = await bringModels(wanted(bucket()), watch)
    expect(outcome).toMatchObject({
      status: 'failed',
      error: expect.stringMatching(
        /r2: checkpoints\/a\.safetensors was downloaded and does not match its record, so it was discarded/,
      ),
    })
    expect(readdirSync(at('checkpoints'))).toEqual([])

    put('second', model, 'hullo', { record: true })
    const second: ModelShelf = {
      name: 'hetzner',
      store: directoryStore({ name: 'hetzner', root: path.join(folder, 'second') }),
      folder: '',
    }
    expect(await bring(bucket(), second)).toEqual([`downloaded ${model}`])
    expect(readFileSync(at(model), 'utf8')).toBe('hullo')
  })

  test('what was cut off is gone on with, and not read again', async () => {
    const content = Buffer.from(Array.from({ length: 3_000_000 }, (_, n) => (n * 7919) % 251))
    put('bucket', model, content, { record: true })
    const begun = () => statSync(at('checkpoints/.a.safetensors.partial'), { throwIfNoEntry: false })?.size
    const breaking = (store: AppendOnlyStore): AppendOnlyStore => ({
      ...store,
      async open(key, from = 0) {
        const whole = await store.open(key, from)
        if (key.endsWith('.sha256')) return whole
        return Readable.from(
          (async function* () {
            for await (const chunk of whole) {
              yield chunk
              // What was not yet written when the source fails is lost: it fails once all is.
              await vi.waitUntil(() => begun() === 2 ** 20)
              throw new Error('reset')
            }
          })(),
          { objectMode: false },
        )
      },
    })
    const [outcome] = await bringModels(wanted(bucket(breaking)), watch)
    expect(outcome).toMatchObject({ status: 'failed', error: 'reset' })
    expect(begun()).toBe(2 ** 20)
    const asked: number[] = []
    const watching = (store: AppendOnlyStore): AppendOnlyStore => ({
      ...store,
      open(key, from = 0) {
        if (!key.endsWith('.sha256')) asked.push(from)
        return store.open(key, from)
      },
    })
    expect(await bring(bucket(watching))).toEqual([`downloaded ${model}`])
    expect(asked).toEqual([2 ** 20])
    expect(readFileSync(at(model)).equals(content)).toBe(true)
    expect(told.bytes).toBe(3_000_000)
  })

  test.each<[string, string, 'downloaded' | 'failed']>([
    ['whole', 'hello world', 'downloaded'],
    ['longer than it should be', 'hello world and more', 'downloaded'],
    ['of something else', 'jello', 'failed'],
  ])('a rest of an earlier download that is %s', async (_, rest, status) => {
    put('bucket', model, 'hello world', { record: true })
    put('target', 'checkpoints/.a.safetensors.partial', rest)
    expect(await bring(bucket())).toEqual([`${status} ${model}`])
    // What was wrong is gone, so that the next run begins anew.
    expect(await bring(bucket())).toEqual([`${status === 'failed' ? 'downloaded' : 'unchanged'} ${model}`])
    expect(readFileSync(at(model), 'utf8')).toBe('hello world')
    expect(readdirSync(at('checkpoints'))).toEqual(['a.safetensors'])
  })
})

test('a model that is there with another size is not touched, and that is a failure that says what to do', async () => {
  put('bucket', model, 'hello')
  put('target', model, 'my own')
  const [outcome] = await bringModels(wanted(bucket()), watch)
  expect(outcome).toMatchObject({
    status: 'failed',
    error: expect.stringMatching(/is there with 6 bytes, and r2 has 5: it was left alone; move it away/),
  })
  expect(readFileSync(at(model), 'utf8')).toBe('my own')
})

test('one that cannot be had stops no other', async () => {
  put('bucket', model, 'hello', { record: true })
  put('bucket', 'vae/b.safetensors', 'hello', { record: true })
  const failing = (store: AppendOnlyStore): AppendOnlyStore => ({
    ...store,
    open: (key, from) => (key === model ? Promise.reject(new Error('r2: gone')) : store.open(key, from)),
  })
  expect(await bring(bucket(failing))).toEqual([`failed ${model}`, 'downloaded vae/b.safetensors'])
})

test('other files are no models', async () => {
  for (const name of [
    'checkpoints/a.ckpt',
    'other/a.safetensors',
    'a.safetensors',
    'checkpoints.safetensors',
    'runs/x.json',
  ])
    put('bucket', name, 'x')
  expect(await bring(bucket())).toEqual([])
})

test.each([
  'checkpoints/../../evil.safetensors',
  'checkpoints//evil.safetensors',
  'checkpoints/./evil.safetensors',
  'loras/a/../../../../evil.safetensors',
])('a key that would lead out of the folder, %s, is none', async (key) => {
  const hostile = (store: AppendOnlyStore): AppendOnlyStore => ({
    ...store,
    async *list() {
      yield { key, bytes: 5, modified: new Date() }
    },
    open: async () => Readable.from([Buffer.from('hello')]),
  })
  expect(await bring(bucket(hostile))).toEqual([])
  expect(readdirSync(folder)).toEqual([])
})

test('what is missing is told by name, and what is there in its size is not', async () => {
  put('bucket', model, 'hello')
  put('bucket', 'vae/b.safetensors', 'hello')
  put('bucket', 'vae/c.safetensors', 'hello')
  put('target', model, 'hello')
  put('target', 'vae/b.safetensors', 'hell')
  expect(await missingModels(wanted(bucket()))).toEqual({
    missing: ['vae/b.safetensors', 'vae/c.safetensors'],
    count: 3,
  })
})

describe('in a folder in which everybody may write', () => {
  const partial = () => at('checkpoints/.a.safetensors.partial')
  beforeEach(() => {
    put('bucket', model, 'hello', { record: true })
    put('elsewhere', 'shadow', 'hel')
    mkdirSync(at('checkpoints'), { recursive: true })
  })

  test.each<[string, (file: string) => void]>([
    ['a link', (file) => symlinkSync(file, partial())],
    ['another name', (file) => linkSync(file, partial())],
  ])('what somebody laid down as %s of a file elsewhere is not written through', async (_, plant) => {
    const elsewhere = path.join(folder, 'elsewhere/shadow')
    chmodSync(elsewhere, 0o600)
    plant(elsewhere)
    expect(await bring(bucket())).toEqual([`downloaded ${model}`])
    expect(readFileSync(at(model), 'utf8')).toBe('hello')
    expect(lstatSync(at(model)).isFile()).toBe(true)
    expect(readFileSync(elsewhere, 'utf8')).toBe('hel')
    expect(statSync(elsewhere).mode & 0o777).toBe(0o600)
  })

  test.runIf(process.getuid?.() === 0)('a beginning that is not our own is not gone on with', async () => {
    writeFileSync(partial(), 'xxx')
    chownSync(partial(), 65534, 65534)
    expect(await bring(bucket())).toEqual([`downloaded ${model}`])
    expect(statSync(at(model)).uid).toBe(0)
  })
})
