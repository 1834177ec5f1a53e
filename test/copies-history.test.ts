import { expect, test } from 'vitest'
import { newestAndLater } from '../lib/copies.ts'
import { bench, bucket } from './stores/s3-bench.ts'

const now = new Date('2026-11-24T10:20:00Z')
const hoursBack = (hours: number) =>
  new Date(now.getTime() - hours * 3_600_000).toISOString().slice(0, 13).replace('T', '-')

test.each([
  ['changed an hour ago', 0, 1],
  ['unchanged for three weeks', 24 * 21, 2],
])('an item that was %s asks for no more after three years than after a month', async (_, quiet, lists) => {
  const asked: Record<string, number> = {}
  for (const days of [30, 3 * 365]) {
    const { server, store } = await bench({}, { patience: { idleMs: 60_000, requestMs: 60_000 } })
    for (let back = quiet + 1; back < days * 24; back += 12) {
      const name = `env-${hoursBack(back)}.tar.gz`
      await server.put(bucket, `config/${name}`, Buffer.from('abc'))
      await server.put(
        bucket,
        `config/${name}.sha256`,
        Buffer.from(`# bytes: 3\n${'a'.repeat(64)}  ${name}\n`),
      )
    }
    const { newest } = await newestAndLater(store, 'config/', 'env', now)
    expect(newest?.stamp).toBe(hoursBack(quiet + 1))
    asked[days] = server.log.length
    expect(server.log.filter(({ operation }) => operation === 'ListObjectsV2')).toHaveLength(lists)
  }
  expect(asked[3 * 365]).toBe(asked[30])
})
