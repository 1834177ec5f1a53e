import { once } from 'node:events'
import { Readable, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setTimeout as wait } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fanOut } from '../../lib/backup/fan-out.ts'

const take = () => {}
const chunks = (count: number, bytes = 100_000) =>
  Array.from({ length: count }, (_, n) => Buffer.alloc(bytes, n))

test('each branch gets every byte, in order, and is asked with their count', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 5000 })),
      fc.integer({ min: 1, max: 4 }),
      async (parts, count) => {
        const seen: number[] = []
        const branches = fanOut(
          Readable.from(parts.map((part) => Buffer.from(part))),
          Array.from({ length: count }, () => (total) => seen.push(total)),
        )
        const whole = Buffer.concat(parts)
        for (const read of await Promise.all(branches.map(buffer))) expect(read.equals(whole)).toBe(true)
        expect(seen).toEqual(Array(count).fill(whole.length))
      },
    ),
    { numRuns: 50 },
  )
})

test('law 6: an error of the source ends no branch, it fails them all', async () => {
  async function* half() {
    yield Buffer.alloc(2_000_000)
    throw new Error('tar died')
  }
  const endings = await Promise.allSettled(fanOut(Readable.from(half()), [take, take]).map(buffer))
  expect(endings.map((ending) => ending.status === 'rejected' && ending.reason.message)).toEqual([
    'tar died',
    'tar died',
  ])
})

test('law 7: a branch whose reader fails is left behind, the other gets everything', async () => {
  const [bad, good] = fanOut(Readable.from(chunks(80)), [take, take]) as [Readable, Readable]
  let taken = 0
  const broken = new Writable({
    write(chunk, _encoding, done) {
      taken += chunk.length
      done(taken > 1_000_000 ? new Error('the store is full') : null)
    },
  })
  const [first, second] = await Promise.allSettled([pipeline(bad, broken), buffer(good)])
  expect(first).toMatchObject({ status: 'rejected', reason: { message: 'the store is full' } })
  expect(second.status === 'fulfilled' && second.value.length).toBe(8_000_000)
})

test('law 5: what a branch refuses at the end does not end there, and ends elsewhere', async () => {
  const refuse = (bytes: number) => {
    throw new Error(`shrank to ${bytes}`)
  }
  const [first, second] = await Promise.allSettled(
    fanOut(Readable.from(chunks(3)), [refuse, take]).map(buffer),
  )
  expect(first).toMatchObject({ status: 'rejected', reason: { message: 'shrank to 300000' } })
  expect(second).toMatchObject({ status: 'fulfilled' })
})

test('the source goes at the pace of the slowest, in bounded memory', async () => {
  let made = 0
  async function* endless() {
    for (; made < 500; made++) yield Buffer.alloc(100_000)
  }
  const [fast, slow] = fanOut(Readable.from(endless()), [take, take]) as [Readable, Readable]
  fast.resume()
  await wait(200)
  expect(made).toBeLessThan(60)
  slow.resume()
  await Promise.all([once(fast, 'end'), once(slow, 'end')])
  expect(made).toBe(500)
})

test('a reader that takes nothing for too long is given up, and the other goes on', async () => {
  const [stuck, good] = fanOut(Readable.from(chunks(100)), [take, take], { stallSeconds: 0.3 }) as [
    Readable,
    Readable,
  ]
  const failed = once(stuck, 'error')
  expect((await buffer(good)).length).toBe(10_000_000)
  const [error] = (await failed) as [Error]
  expect(error.message).toContain('took no data for 0.3 s')
})

test('when all readers are gone the source is given up', async () => {
  const source = Readable.from(chunks(1000))
  const branches = fanOut(source, [take, take])
  for (const branch of branches) {
    branch.on('error', () => {})
    branch.destroy(new Error('gone'))
  }
  await new Promise((closed) => source.on('close', closed))
  expect(source.destroyed).toBe(true)
})
