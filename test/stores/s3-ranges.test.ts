import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { StoreError } from '../../lib/stores/store.ts'
import { sha256 } from './contract.ts'
import { bench, bucket, hasty } from './s3-bench.ts'

const range = 8 * 2 ** 20
const long = randomBytes(4 * range + 3)

async function holding(content: Buffer, ...options: Parameters<typeof bench>) {
  const { server, store } = await bench(...options)
  await server.put(bucket, 'item', content)
  const asked = () =>
    server.log
      .filter(({ operation }) => operation === 'GetObject')
      .map(({ headers }) => String(headers.range))
  return { server, store, asked }
}

describe('a content that comes over several connections', () => {
  it.each([0, 1, range - 1, range, range + 1, 2 * range, long.length])(
    'of %d bytes is whole',
    async (bytes) => {
      const content = long.subarray(0, bytes)
      const { store } = await holding(content)
      expect(sha256(await buffer(await store.openPastCache('item')))).toBe(sha256(content))
      for (const from of [1, range, range + 5, bytes]) {
        const rest = sha256(content.subarray(from))
        expect(sha256(await buffer(await store.open('item', from, 4)))).toBe(rest)
        expect(sha256(await buffer(await store.open('item', from)))).toBe(rest)
      }
    },
  )

  it('is asked for in ranges that follow each other, four at once', async () => {
    const { store, asked } = await holding(long)
    await buffer(await store.openPastCache('item'))
    const starts = [0, 1, 2, 3, 4].map((index) => index * range)
    expect(asked()).toEqual(
      starts.map(
        (start) => `bytes=${start}-${start === 0 ? range - 1 : Math.min(start + range, long.length) - 1}`,
      ),
    )
  })

  it('comes over one where that is asked for, in one answer', async () => {
    const { store, asked } = await holding(long)
    expect(sha256(await buffer(await store.open('item')))).toBe(sha256(long))
    expect(asked()).toEqual(['undefined'])
  })

  it.each(['half', 'stall', 'reset', 503] as const)('%s on the way of a range: it is whole', async (how) => {
    const { server, store } = await holding(long, {}, how === 'stall' ? { patience: hasty } : {})
    server.fail({ operation: 'GetObject', how, after: 1, times: 3 })
    expect(sha256(await buffer(await store.openPastCache('item')))).toBe(sha256(long))
    expect(server.log.filter(({ fault }) => fault === how)).toHaveLength(3)
  })

  it('a range that breaks again and again is told', async () => {
    const { server, store } = await holding(long)
    server.fail({ operation: 'GetObject', how: 'reset', after: 2, times: 1000 })
    const error = await buffer(await store.openPastCache('item')).catch((error) => error)
    expect(error).toBeInstanceOf(StoreError)
    expect(error.message).toMatch(/^r2 bucket backups: could not read item/)
  })

  it('is the whole of it from a server that knows no ranges', async () => {
    const { store, asked } = await holding(long, { ignoresRanges: true })
    expect(sha256(await buffer(await store.openPastCache('item')))).toBe(sha256(long))
    expect(asked()).toHaveLength(1)
  })

  it('is never put together from two objects', async () => {
    const { server, store } = await holding(long)
    const reading = await store.openPastCache('item')
    await server.put(bucket, 'item', randomBytes(long.length))
    const ended = await buffer(reading).then(() => 'whole', String)
    expect(ended).toMatch(/StoreError: r2 bucket backups: .*412/)
  })

  it('of which somebody wants to see the beginning is asked for no further', async () => {
    const { store, asked } = await holding(long)
    for await (const _ of await store.openPastCache('item')) break
    await sleep(200)
    expect(asked()).toHaveLength(1)
  })

  it('is left in the middle: nothing more is asked for, and nothing is left open', async () => {
    const { store, asked } = await holding(long)
    let bytes = 0
    for await (const chunk of await store.openPastCache('item')) {
      bytes += (chunk as Buffer).length
      if (bytes > range * 0.7) break
    }
    await sleep(1000)
    expect(asked().length).toBeLessThanOrEqual(5)
    const before = asked().length
    await sleep(500)
    expect(asked()).toHaveLength(before)
  })
})
