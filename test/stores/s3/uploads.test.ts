import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { uploadLimit } from '../../../lib/stores/pool.ts'
import { inPieces, sha256 } from '../contract.ts'
import { bench, bucket, partBytes } from '../s3-bench.ts'

const patient = { idleMs: 60_000, requestMs: 60_000 }
const content = randomBytes(3.5 * 2 ** 20)

describe('parts', () => {
  it('grow with what is expected, so that 10,000 of them are enough', async () => {
    const { server, store, stored } = await bench({}, { patience: patient })
    await store.create('archive', inPieces(content), undefined, partBytes * 10_000 + 1)
    expect(await stored('archive')).toBe(sha256(content))
    const parts = server.log.filter(({ operation }) => operation === 'UploadPart')
    // 1.1 × 100,000 bytes, in whole MiB.
    expect(parts.map(({ bytes }) => bytes)).toEqual([2 ** 20, 2 ** 20, 2 ** 20, 2 ** 19])
  })

  it('stay as they are set for what fits into 10,000 of them', async () => {
    const { server, store } = await bench({}, { patience: patient })
    await store.create('archive', inPieces(content), undefined, partBytes * 10_000)
    expect(server.log.find(({ operation }) => operation === 'UploadPart')?.bytes).toBe(partBytes)
  })
})

describe('unfinished uploads', () => {
  it('are listed with the bytes that the server holds, until they are completed', async () => {
    const { store } = await bench({}, { patience: patient, concurrency: 1 })
    const list = async () => {
      const found = []
      for await (const { key, bytes, begun } of store.unfinished()) found.push({ key, bytes, begun })
      return found
    }
    expect(await list()).toEqual([])
    async function* broken() {
      yield* inPieces(content.subarray(0, 4.5 * partBytes))
      throw new Error('killed')
    }
    const source = (body: Readable) => ({ bytes: content.length, open: () => body })
    await expect(store.createFrom('models/a', source(Readable.from(broken())))).rejects.toThrow('killed')
    const [left, ...others] = await list()
    expect(others).toEqual([])
    expect(left?.key).toBe('models/a')
    expect(left?.bytes).toBeGreaterThanOrEqual(2 * partBytes)
    expect((left?.bytes ?? 0) % partBytes).toBe(0)
    expect(Math.abs((left?.begun.getTime() ?? 0) - Date.now())).toBeLessThan(5 * 60_000)
    await store.createFrom('models/a', source(inPieces(content)))
    expect(await list()).toEqual([])
  })
})

describe('whether anything can be written', () => {
  const refused = { operation: 'PutObject', how: 403, code: 'AccessDenied' }
  const probes = (keys: string[]) => keys.filter((key) => key.includes('write-probe'))

  it('a bucket that takes writes has one small object afterwards, however often it is asked', async () => {
    const { server, store } = await bench()
    await store.tryWrite()
    const after = server.keys(bucket)
    expect(after).toHaveLength(1)
    await store.tryWrite()
    expect(server.keys(bucket)).toEqual(after)
  })

  it('a bucket that can be listed and refuses every write is found out, also where the probe is there', async () => {
    const { server, store } = await bench()
    server.fail({ ...refused, times: 1 })
    await expect(store.tryWrite()).rejects.toThrow(/could not write a small test object.*Read & Write/s)
    await store.tryWrite()
    server.fail({ ...refused, times: 100 })
    await expect(store.tryWrite()).rejects.toThrow(/could not write a small test object.*Read & Write/s)
  })

  it('a lock on the probe that is there is no refusal: a new object can be written', async () => {
    const { server, store } = await bench()
    await store.tryWrite()
    server.fail({ ...refused, times: 1 })
    await store.tryWrite()
    expect(probes(server.keys(bucket))).toHaveLength(2)
  })
})

describe('a limit on uploads', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] }))
  afterEach(() => vi.useRealTimers())

  it('is one for all who share it, in bytes a second', async () => {
    const limit = uploadLimit(1000)
    const passed: number[] = []
    const sends = [500, 1000, 250].map((bytes) => limit(bytes).then(() => passed.push(bytes)))
    await vi.advanceTimersByTimeAsync(1)
    expect(passed).toEqual([500])
    await vi.advanceTimersByTimeAsync(480)
    expect(passed).toEqual([500])
    await vi.advanceTimersByTimeAsync(20)
    expect(passed).toEqual([500, 1000])
    await vi.advanceTimersByTimeAsync(1000)
    await Promise.all(sends)
    expect(passed).toEqual([500, 1000, 250])
  })

  it('saves up nothing while nothing is sent', async () => {
    const limit = uploadLimit(1000)
    await Promise.all([limit(100), vi.advanceTimersByTimeAsync(60_000)])
    let passed = 0
    for (let n = 0; n < 3; n++) void limit(1000).then(() => passed++)
    await vi.advanceTimersByTimeAsync(1500)
    expect(passed).toBe(2)
  })
})

it('what is sent under a limit arrives whole, and takes its time', async () => {
  const limit = uploadLimit(10e6)
  const { store, another, stored } = await bench({}, { patience: patient, limit })
  const before = performance.now()
  await Promise.all([store.create('a', inPieces(content)), another().create('b', inPieces(content))])
  expect(performance.now() - before).toBeGreaterThan(((2 * content.length - 2 * partBytes) / 10e6) * 1000)
  for (const key of ['a', 'b']) expect(await stored(key)).toBe(sha256(content))
})
