import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AppendOnlyStore, type Entry, KeyExists, NoSuchKey, StoreError } from '../../lib/stores/store.ts'

/** A store, empty at first, and a way to see what lies in it that does not go through the store itself. */
export interface StoreUnderTest {
  store: AppendOnlyStore
  raw(key: string): Promise<Buffer>
  /** Sizes in bytes at which this store changes its ways, such as a part. */
  sizes?: number[]
  close?(): Promise<void>
}

/** What every store has to do, whatever it is made of. */
export function storeContract(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`the contract of a store: ${name}`, () => {
    let test: StoreUnderTest
    let store: AppendOnlyStore
    let folders = 0
    /** Each test has a folder of its own, for nothing can be removed. */
    const folder = () => `test-${++folders}/`

    beforeAll(async () => {
      test = await make()
      store = test.store
    })
    afterAll(async () => {
      await test.close?.()
    })

    it('is named, and answers that it can be used', async () => {
      expect(store.name).not.toBe('')
      const { freeBytes } = await store.probe()
      expect(freeBytes ?? 1).toBeGreaterThan(0)
      expect((await store.look()).freeBytes ?? 1).toBeGreaterThan(0)
    })

    it('holds what it was given, whatever its size, and says so in the receipt', async () => {
      const key = folder()
      const aroundAChange = (test.sizes ?? []).flatMap((size) => [
        size - 1,
        size,
        size + 1,
        2 * size,
        3.5 * size,
      ])
      for (const bytes of [0, 1, 100, 65_536, 1_000_003, ...aroundAChange.map(Math.floor)]) {
        const content = randomBytes(bytes)
        const receipt = await store.create(`${key}${bytes}`, inPieces(content))
        expect(receipt).toEqual({ key: `${key}${bytes}`, bytes, sha256: sha256(content) })
        expect(sha256(await test.raw(`${key}${bytes}`)), `raw, ${bytes} bytes`).toBe(sha256(content))
        expect(sha256(await read(store, `${key}${bytes}`)), `read, ${bytes} bytes`).toBe(sha256(content))
      }
    })

    it('takes a body in pieces of any size, slow ones too', async () => {
      const content = randomBytes(50_000)
      const key = `${folder()}slow`
      async function* slowly() {
        for (let start = 0; start < content.length; start += 7_001) {
          await new Promise((resolve) => setTimeout(resolve, 5))
          yield content.subarray(start, start + 7_001)
        }
      }
      await store.create(key, Readable.from(slowly()))
      expect(await test.raw(key)).toEqual(content)
    })

    it('never overwrites: neither with other content nor with the same', async () => {
      const key = `${folder()}taken`
      const first = randomBytes(1000)
      await store.create(key, inPieces(first))
      for (const second of [randomBytes(1000), first, Buffer.alloc(0)]) {
        const error = await store.create(key, inPieces(second)).catch((error) => error)
        expect(error).toBeInstanceOf(KeyExists)
        expect(error).toMatchObject({ store: store.name, key })
      }
      expect(await test.raw(key)).toEqual(first)
    })

    it('does not read the body for a key that is taken', async () => {
      const key = `${folder()}taken`
      await store.create(key, inPieces(Buffer.from('first')))
      let asked = 0
      const body = new Readable({
        read() {
          asked += 1
          this.push(asked > 1000 ? null : Buffer.alloc(1000))
        },
      })
      await expect(store.create(key, body)).rejects.toThrow(KeyExists)
      expect(asked).toBe(0)
      expect(body.destroyed).toBe(true)
    })

    it('leaves nothing behind when the body fails, and takes the key afterwards', async () => {
      const within = folder()
      const sizes = [0, 1, 100_000, ...(test.sizes ?? []).map((size) => Math.floor(size * 2.5))]
      for (const bytes of sizes) {
        const key = `${within}${bytes}`
        const error = await store.create(key, failing(bytes)).catch((error) => error)
        expect(error, `${bytes} bytes, then a failure`).toBeInstanceOf(Error)
        expect(String(error)).toContain('tar died')
        await expect(store.open(key).then(buffer)).rejects.toThrow(NoSuchKey)
        expect(await keys(store, within)).not.toContain(key)
        await store.create(key, inPieces(Buffer.from('good')))
        expect(await test.raw(key)).toEqual(Buffer.from('good'))
      }
    })

    it('survives a body that failed before it was asked for', async () => {
      const key = `${folder()}early`
      const body = new Readable({ read() {} })
      const created = store.create(key, body)
      body.destroy(new Error('the host is gone'))
      await expect(created).rejects.toThrow('the host is gone')
      await expect(store.open(key)).rejects.toThrow(NoSuchKey)
    })

    it('lets exactly one of several that race for a key win, whole', async () => {
      const sizes = [2000, ...(test.sizes ?? []).map((size) => size * 2)]
      for (const bytes of sizes) {
        const key = `${folder()}race`
        const contents = [1, 2, 3, 4].map(() => randomBytes(bytes))
        const outcomes = await Promise.allSettled(
          contents.map((content) => store.create(key, inPieces(content))),
        )
        const won = outcomes.findIndex(({ status }) => status === 'fulfilled')
        const lost = outcomes.filter((outcome) => outcome.status === 'rejected')
        expect(lost.map(({ reason }) => reason.name)).toEqual(Array(3).fill('KeyExists'))
        expect(sha256(await test.raw(key))).toBe(sha256(contents[won] ?? Buffer.alloc(0)))
      }
    })

    it('lists by prefix, in order, with sizes and times', async () => {
      const within = folder()
      const names = [
        'b.tar.gz',
        'a-2.tar.gz',
        'a-1.tar.gz',
        'a/deep/er',
        'a/b',
        'a.tar.gz.sha256',
        'nginx-extra',
        'nginx',
      ]
      for (const name of names) await store.create(within + name, inPieces(Buffer.from(name)))
      const all = await entries(store, within)
      expect(all.map(({ key }) => key)).toEqual(names.map((name) => within + name).toSorted())
      for (const { key, bytes, modified } of all) {
        expect(bytes).toBe(key.length - within.length)
        expect(Math.abs(modified.getTime() - Date.now())).toBeLessThan(5 * 60_000)
      }
      const found = async (prefix: string) =>
        (await keys(store, within + prefix)).map((key) => key.slice(within.length))
      expect(await found('a-')).toEqual(['a-1.tar.gz', 'a-2.tar.gz'])
      expect(await found('a/')).toEqual(['a/b', 'a/deep/er'])
      expect(await found('ngin')).toEqual(['nginx', 'nginx-extra'])
      expect(await found('nginx-')).toEqual(['nginx-extra'])
      expect(await found('nothing')).toEqual([])
      expect(await found('no/such/folder')).toEqual([])
      const later = async (prefix: string, after: string) => {
        const options = { after: within + after }
        const entries = []
        for await (const { key } of store.list(within + prefix, options))
          entries.push(key.slice(within.length))
        return entries
      }
      expect(await later('', 'a-1.tar.gz')).toEqual(names.filter((name) => name > 'a-1.tar.gz').toSorted())
      expect(await later('a-', 'a-1')).toEqual(['a-1.tar.gz', 'a-2.tar.gz'])
      expect(await later('a/', 'a/b')).toEqual(['a/deep/er'])
      expect(await later('a-', 'b')).toEqual([])
    })

    it('lists a key as soon as it was created, and no later than that', async () => {
      const within = folder()
      for (let count = 0; count < 3; count++) {
        expect(await keys(store, within)).toHaveLength(count)
        await store.create(`${within}${count}`, inPieces(Buffer.from('x')))
      }
    })

    it('lists nothing that it was not given', async () => {
      for await (const { key } of store.list('')) expect(key).toMatch(/^test-\d+\//)
    })

    it('opens a key at any byte', async () => {
      const key = `${folder()}content`
      const content = randomBytes(300_000)
      await store.create(key, inPieces(content))
      for (const from of [0, 1, 65_536, 150_000, 299_999, 300_000]) {
        expect(sha256(await read(store, key, from)), `from ${from}`).toBe(sha256(content.subarray(from)))
      }
      expect(sha256(await buffer(await store.openPastCache(key)))).toBe(sha256(content))
    })

    it('lets a reader leave half-way', async () => {
      const key = `${folder()}content`
      await store.create(key, inPieces(randomBytes(2_000_000)))
      for (const stream of [await store.open(key), await store.openPastCache(key)]) {
        for await (const chunk of stream) {
          expect(chunk.length).toBeGreaterThan(0)
          break
        }
        expect(stream.destroyed).toBe(true)
      }
      expect(await read(store, key)).toHaveLength(2_000_000)
    })

    it('says which key is not there', async () => {
      const key = `${folder()}missing`
      for (const open of [store.open, store.openPastCache]) {
        const error = await open(key).catch((error) => error)
        expect(error).toBeInstanceOf(NoSuchKey)
        expect(error).toBeInstanceOf(StoreError)
        expect(error.message).toContain(store.name)
        expect(error.message).toContain(key)
      }
    })

    it('keeps names as they are', async () => {
      const within = folder()
      const names = [
        'with space',
        'plus+and&more',
        "it's",
        'per%20cent',
        'häß-目录',
        'a=b,c;d',
        '(x) [y] {z}',
        '~tilde',
        '#hash',
        'q?r',
      ]
      for (const name of names) {
        await store.create(within + name, inPieces(Buffer.from(name)))
        expect(await read(store, within + name)).toEqual(Buffer.from(name))
      }
      expect((await keys(store, within)).toSorted()).toEqual(names.map((name) => within + name).toSorted())
    })
  })
}

export function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

/** A body of uneven pieces. */
export function inPieces(content: Buffer): Readable {
  function* pieces() {
    let start = 0
    for (let size = 1; start < content.length; size = (size * 5) % 100_003) {
      yield content.subarray(start, start + size)
      start += size
    }
  }
  return Readable.from(pieces())
}

/** A body that breaks after so many bytes. */
export function failing(bytes: number): Readable {
  function* pieces() {
    for (let left = bytes; left > 0; left -= 10_000) yield randomBytes(Math.min(left, 10_000))
    throw new Error('tar died')
  }
  return Readable.from(pieces())
}

async function read(store: AppendOnlyStore, key: string, from?: number): Promise<Buffer> {
  return buffer(await store.open(key, from))
}

async function entries(store: AppendOnlyStore, prefix: string): Promise<Entry[]> {
  const all: Entry[] = []
  for await (const entry of store.list(prefix)) all.push(entry)
  return all
}

export async function keys(store: AppendOnlyStore, prefix: string): Promise<string[]> {
  return (await entries(store, prefix)).map(({ key }) => key)
}
