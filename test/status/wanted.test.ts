import { expect, test } from 'vitest'
import { contentsOf } from '../../lib/status/contents.ts'
import { bucketBounds, wantedTexts } from '../../lib/status/wanted.ts'
import { day, healthyWorld, hour, type Place, putCopy, runReport } from './world.ts'

const now = new Date('2026-11-24T10:00:00Z')
const shape = { now, copies: 1, unchangedDays: 0, minutesAgo: 5, hetzner: false }

/** R2's bucket of the configuration, as a look reads it; returns what was read, round by round. */
function readAll(prepare: (place: Place, world: ReturnType<typeof healthyWorld>) => void) {
  const world = healthyWorld(shape)
  const place = world.places.find(
    ({ expected }) => expected.store === 'r2' && expected.item.name === 'env',
  ) as Place
  prepare(place, world)
  const expected = world.places.map((one) => one.expected)
  const contents = contentsOf(place.shelf, expected, 'production')
  const texts: Record<string, string> = {}
  const rounds: string[][] = []
  for (;;) {
    const keys = wantedTexts(contents, expected, texts, bucketBounds)
    if (keys.length === 0) return rounds
    rounds.push(keys)
    for (const key of keys) texts[key] = place.shelf.texts[key] as string
  }
}
const ofEnv = (keys: string[] = []) => keys.filter((key) => key.startsWith('config/env-'))

test('a thousand copies cost three records', () => {
  const rounds = readAll((place) => {
    for (let age = 1; age < 1000; age++) putCopy(place, new Date(now.getTime() - age * day))
  })
  expect(rounds.length).toBe(1)
  expect(ofEnv(rounds[0])).toEqual(
    ['24', '23', '22'].map((date) => `config/env-2026-11-${date}.tar.gz.sha256`),
  )
})

test('more are read only while none is good, and never all', () => {
  const rounds = readAll((place) => {
    for (let age = 1; age < 100; age++) putCopy(place, new Date(now.getTime() - age * day))
    for (const file of place.shelf.files) if (file.key.endsWith('.tar.gz')) file.bytes++
  })
  expect(rounds.map((keys) => ofEnv(keys).length)).toEqual([3, 7])
})

test('reports are read from the newest back until every item is told of, and then no further', () => {
  const reports = (keys: string[] = []) => keys.filter((key) => key.startsWith('runs/backup-verda'))
  const told = readAll((_, world) => {
    for (let hours = 1; hours < 200; hours++)
      world.putReport(runReport('backup-verda', new Date(now.getTime() - hours * hour), world.places))
  })
  expect(told.map((keys) => reports(keys).length)).toEqual([8])
  const never = readAll((place, world) => {
    place.shelf.files = place.shelf.files.filter(({ key }) => !key.startsWith('runs/'))
    for (let hours = 0; hours < 200; hours++) {
      const time = new Date(now.getTime() - hours * hour)
      world.putReport(runReport('backup-verda', time, world.places, () => undefined))
    }
  })
  expect(never.map((keys) => reports(keys).length)).toEqual([8, 8, 8])
})
