import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { Retry } from '../../lib/stores/s3/client.ts'
import { KeyExists, StoreError } from '../../lib/stores/store.ts'
import type { How } from '../servers/s3-request.ts'
import { failing, inPieces, keys, sha256 } from './contract.ts'
import { bench, bucket, hasty, partBytes } from './s3-bench.ts'

const small = randomBytes(1000)
const large = randomBytes(3.5 * partBytes)
const answers: How[] = [500, 502, 503, 504, 429]
/** Only what never answers is given up early. */
const patienceFor = (how: How) => (how === 'stall' ? { patience: hasty } : {})
const connections: How[] = ['reset', 'half', 'stall', 'lost answer']

describe('a fault that passes', () => {
  const writes = [
    ['PutObject', small],
    ['CreateMultipartUpload', large],
    ['UploadPart', large],
    ['CompleteMultipartUpload', large],
  ] as const
  const cases = [
    ...writes.flatMap(([operation, content]) =>
      [...answers, ...connections].map((how) => [operation, how, content] as const),
    ),
    ...answers.concat('reset').map((how) => ['HeadObject', how, large] as const),
    ...answers.concat('reset', 'half', 'stall').map((how) => ['GetObject', how, large] as const),
  ]
  it.each(cases)('%s, %s: the content is stored once, and whole', async (operation, how, content) => {
    const { server, store, stored } = await bench({}, patienceFor(how))
    await store.probe()
    server.fail({ operation, how })
    const receipt = await store.create('item', inPieces(content))
    expect(receipt.sha256).toBe(sha256(content))
    expect(await stored('item')).toBe(sha256(content))
    expect(server.log.map(({ fault }) => fault)).toContain(how)
  })

  it.each([...answers, 'reset', 'stall'] as const)('%s while listing: the list is whole', async (how) => {
    const { server, store } = await bench({}, patienceFor(how))
    await store.create('item', inPieces(small))
    server.fail({ operation: 'ListObjectsV2', how, times: 2 })
    expect(await keys(store, '')).toEqual(['item'])
  })

  it.each(['half', 'stall', 'reset', 503] as const)('%s while reading: the content is whole', async (how) => {
    const { server, store } = await bench({}, patienceFor(how))
    await store.create('item', inPieces(large))
    server.fail({ operation: 'GetObject', how, times: 3 })
    expect(sha256(await buffer(await store.open('item', 777)))).toBe(sha256(large.subarray(777)))
  })

  it('a completion in silence is waited for longer than any other answer, and not sent twice', async () => {
    const { server, store, operations } = await bench({}, { patience: hasty })
    server.fail({ operation: 'CompleteMultipartUpload', meanwhile: () => sleep(450) })
    await store.create('item', inPieces(large))
    expect(operations().filter((operation) => operation === 'CompleteMultipartUpload')).toHaveLength(1)
  })

  it('is told each time before it is tried again', async () => {
    const told: Retry[] = []
    const { server, store } = await bench({}, { onRetry: (retry: Retry) => told.push(retry) })
    server.fail({ operation: 'ListObjectsV2', how: 503, times: 2 })
    await keys(store, '')
    expect(told).toMatchObject([
      { store: 'r2', text: expect.stringContaining('could not list'), failed: 1 },
      { failed: 2 },
    ])
  })

  it('a part is sent again alone', async () => {
    const { server, store } = await bench()
    server.fail({ operation: 'UploadPart', how: 'half', after: 1, times: 2 })
    await store.create('item', inPieces(large))
    expect(server.log.filter(({ operation }) => operation === 'UploadPart')).toHaveLength(4 + 2)
  })
})

describe('a fault that stays', () => {
  it.each([
    ['PutObject', 503, small],
    ['PutObject', 'half', small],
    ['UploadPart', 'reset', large],
    ['CompleteMultipartUpload', 500, large],
  ] as const)(
    '%s, %s: gives up after the tries it has, naming store, key and reason',
    async (operation, how, content) => {
      const { server, store } = await bench({}, { concurrency: 1 })
      await store.probe()
      const before = server.log.length
      server.fail({ operation, how, times: 1000 })
      const error = await store.create('config/item', inPieces(content)).catch((error) => error)
      expect(error).toBeInstanceOf(StoreError)
      expect(error.message).toMatch(/^r2 bucket backups: could not .*config\/item/)
      expect(error.message).toMatch(typeof how === 'number' ? new RegExp(`${how}`) : /does not answer/)
      const tries = server.log.slice(before).filter((request) => request.operation === operation)
      expect(tries).toHaveLength(4)
      expect(server.keys(bucket)).not.toContain('config/item')
    },
  )

  it('a reader hears of a connection that breaks again and again', async () => {
    const { server, store } = await bench()
    await store.create('item', inPieces(large))
    server.fail({ operation: 'GetObject', how: 'half' })
    server.fail({ operation: 'GetObject', how: 'reset', times: 1000 })
    await expect(store.open('item').then(buffer)).rejects.toThrow(/r2 bucket backups: /)
  })

  it('a part that fails for good ends the call at once, even while the body is silent', async () => {
    const { server, store } = await bench()
    server.fail({ operation: 'UploadPart', how: 403, code: 'AccessDenied', times: 1000 })
    async function* silentAfterTwoParts() {
      yield large.subarray(0, 2.5 * partBytes)
      await new Promise(() => {})
    }
    const body = Readable.from(silentAfterTwoParts())
    await expect(store.create('item', body)).rejects.toThrow('403 AccessDenied')
    expect(body.destroyed).toBe(true)
  }, 5000)
})

describe('an answer that is lost', () => {
  it.each([
    ['PutObject', small],
    ['CompleteMultipartUpload', large],
  ] as const)(
    '%s: what was stored is recognised as ours by one look, and not sent again',
    async (operation, content) => {
      const { server, store } = await bench()
      await store.probe()
      server.log.length = 0
      server.fail({ operation, how: 'lost answer' })
      await store.create('item', inPieces(content))
      expect(server.log.filter((request) => request.operation === operation)).toHaveLength(1)
    },
  )

  it('a first try that arrives late makes the second one fail with 412, and the object is ours', async () => {
    const { server, store } = await bench()
    await store.probe()
    server.fail({ operation: 'PutObject', how: 'lost answer' })
    // The look after the lost answer is made not to see the object: as if it were not there yet.
    server.fail({ operation: 'HeadObject', how: 404, after: 1 })
    await store.create('item', inPieces(small))
    const puts = server.log.filter(({ operation, key }) => operation === 'PutObject' && key === 'item')
    expect(puts.map(({ status }) => status)).toEqual([0, 412])
  })

  it('a completion tried again after it had succeeded (404 NoSuchUpload) is ours', async () => {
    const { server, store, stored } = await bench()
    server.fail({ operation: 'CompleteMultipartUpload', how: 'lost answer' })
    server.fail({ operation: 'HeadObject', how: 404, after: 3 })
    await store.create('item', inPieces(large))
    const completions = server.log.filter(({ operation }) => operation === 'CompleteMultipartUpload')
    expect(completions.map(({ status }) => status)).toEqual([0, 404])
    expect(await stored('item')).toBe(sha256(large))
  })

  it.each([small, large])('is not taken for ours when somebody else has the key', async (content) => {
    const { server, store, another, stored } = await bench()
    await store.probe()
    const theirs = Buffer.from('theirs')
    const operation = content === small ? 'PutObject' : 'CompleteMultipartUpload'
    server.fail({ operation, how: 503, meanwhile: () => another().create('item', inPieces(theirs)) })
    await expect(store.create('item', inPieces(content))).rejects.toThrow(KeyExists)
    expect(await stored('item')).toBe(sha256(theirs))
  })
})

describe('a body that fails', () => {
  it.each([0, 500, 1.5 * partBytes, 3.5 * partBytes])(
    'after %s bytes: nothing under the key, and no abort',
    async (bytes) => {
      const { server, store, operations } = await bench()
      await store.probe()
      await expect(store.create('item', failing(bytes))).rejects.toThrow('tar died')
      expect(server.keys(bucket)).not.toContain('item')
      expect(operations()).not.toContain('CompleteMultipartUpload')
      expect(operations().some((operation) => /DELETE/i.test(operation))).toBe(false)
    },
  )
})

describe('a server that overwrites', () => {
  it('is reported, and still nothing that is there is overwritten', async () => {
    const { store, stored } = await bench({ ignoresConditions: true })
    expect(await store.probe()).toEqual({
      warning: expect.stringMatching(/^r2 bucket backups: the server ignores conditional writes/),
    })
    await store.create('item', inPieces(small))
    await expect(store.create('item', inPieces(large))).rejects.toThrow(KeyExists)
    expect(await stored('item')).toBe(sha256(small))
  })

  it('is looked for with one object that is always the same', async () => {
    const { server, another } = await bench()
    for (const run of [1, 2, 3]) {
      const store = another()
      await store.probe()
      await store.probe()
      await store.create(`item-${run}`, inPieces(small))
    }
    const probes = server.log.filter(({ key }) => key.startsWith('.comfyume-backup'))
    expect(probes.map(({ status }) => status)).toEqual([200, 412, 412, 412])
    expect(server.keys(bucket)).toHaveLength(4)
  })

  it('cannot take a key that was taken while a large body was on its way', async () => {
    const { server, store, another, stored } = await bench()
    server.fail({ operation: 'CompleteMultipartUpload', how: 'ignored condition' })
    async function* withRival() {
      yield large
      await another().create('item', inPieces(small))
    }
    await expect(store.create('item', Readable.from(withRival()))).rejects.toThrow(KeyExists)
    expect(await stored('item')).toBe(sha256(small))
  })
})

describe('reading back', () => {
  it.each([
    ['small content', small, {}],
    ['large content, whole', large, {}],
    ['very large content, in samples', randomBytes(40 * partBytes), { readBackBytes: 5 * partBytes }],
  ] as const)('a flipped bit is reported: %s', async (_, content, options) => {
    const { server, store } = await bench({}, options)
    server.fail({ operation: 'GetObject', how: 'flipped bit', times: 1000 })
    const error = await store.create('config/item', inPieces(content)).catch((error) => error)
    expect(error).toBeInstanceOf(StoreError)
    expect(error.message).toMatch(/r2 bucket backups: config\/item was read back and holds another content/)
    expect(error.message).toContain('without a record')
  })

  it('reads no more than samples of the very large, the first and the last part among them', async () => {
    const content = randomBytes(40.5 * partBytes)
    const { server, store } = await bench({}, { readBackBytes: 5 * partBytes })
    await store.create('item', inPieces(content))
    const ranges = server.log
      .filter(({ operation }) => operation === 'GetObject')
      .map(({ headers }) => headers.range)
    expect(ranges).toHaveLength(5)
    expect(ranges.at(0)).toBe(`bytes=0-${partBytes - 1}`)
    expect(ranges.at(-1)).toBe(`bytes=${40 * partBytes}-${40.5 * partBytes - 1}`)
  })
})
