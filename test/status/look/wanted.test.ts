import { describe, expect, test } from 'vitest'
import { contentsOf } from '../../../lib/status/judge/contents.ts'
import { bucketBounds, dailyReports, folderBounds, wantedTexts } from '../../../lib/status/look/wanted.ts'
import { day, healthyWorld, hour, type Place, putCopy, removeFile, runReport, unchanged } from '../world.ts'

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

test('for the calendar one report is read of each day and line of cron: the newest, and of 42 days at most', () => {
  const { seen, places, putReport } = healthyWorld(shape)
  const shelf = seen.shelves.find(({ store }) => store === 'sfs') as (typeof seen.shelves)[number]
  const contents = () => contentsOf(shelf, [], 'production')
  for (let hours = -30; hours < 100 * 24; hours++)
    for (const minutes of [5, 20, ...(hours % 24 === 6 ? [35] : [])])
      putReport(runReport('backup-cron', new Date(now.getTime() - hours * hour - minutes * 60_000), places))
  shelf.texts = { 'runs/backup-cron-2026-11-24-09-55-00.json': '{}' }
  const keys = dailyReports(contents(), now)
  expect(
    keys.slice(0, 5).map((key) => key.slice('runs/backup-cron-2026-11-'.length, -'-00.json'.length)),
  ).toEqual(['24-09-40', '24-03-25', '23-23-55', '23-23-40', '23-03-25'])
  expect(keys.at(-1)).toBe('runs/backup-cron-2026-10-14-03-25-00.json')
  // With the one that was read before it is as many as are ever read.
  expect(keys).toHaveLength(3 * 42 - 1)
})

describe('of one shelf', () => {
  /** A shelf of a sound world, and what is wanted of it when these texts were read. */
  function shelf(store: string, item: string) {
    const world = healthyWorld(shape)
    const place = world.places.find(
      ({ expected }) => expected.store === store && expected.item.name === item,
    ) as Place
    const expected = world.places.map((one) => one.expected)
    const wanted = (texts: Record<string, string> = {}, bounds = bucketBounds) =>
      wantedTexts(contentsOf(place.shelf, expected, 'production'), expected, texts, bounds)
    return { world, place, wanted }
  }

  test('records of models are read up to a bound', () => {
    const { place, wanted } = shelf('r2', 'models')
    const records = place.keys.map((key) => `${key}.sha256`)
    expect(wanted()).toEqual(records)
    expect(wanted({}, { ...bucketBounds, models: 1 })).toEqual(records.slice(0, 1))
    removeFile(place, records[0] as string)
    expect(wanted()).toEqual(records.slice(1))
  })

  test('of a folder four hundred are read at once', () => {
    const { place, wanted } = shelf('sfs', 'env')
    for (let age = 1; age < 500; age++) putCopy(place, new Date(now.getTime() - age * day))
    expect(ofEnv(wanted({}, folderBounds))).toHaveLength(400)
  })

  test('a copy without a record asks for none, and does not count among those that have one', () => {
    const { place, wanted } = shelf('r2', 'env')
    for (let age = 1; age < 9; age++) putCopy(place, new Date(now.getTime() - age * day))
    removeFile(place, 'config/env-2026-11-24.tar.gz.sha256')
    expect(ofEnv(wanted())).toEqual(
      ['23', '22', '21'].map((date) => `config/env-2026-11-${date}.tar.gz.sha256`),
    )
  })

  test('while some of the newest records are not read yet, no older ones are', () => {
    const { place, wanted } = shelf('r2', 'env')
    for (let age = 1; age < 30; age++) putCopy(place, new Date(now.getTime() - age * day))
    const newest = 'config/env-2026-11-24.tar.gz.sha256'
    expect(ofEnv(wanted({ [newest]: 'no record' }))).toHaveLength(2)
    expect(ofEnv(wanted({ [newest]: place.shelf.texts[newest] as string }))).toHaveLength(2)
  })

  test('what a command brings elsewhere alone need not be told of', () => {
    const { world, place, wanted } = shelf('mello', 'env')
    world.putReport(runReport('backup-verda', new Date(now.getTime() - 3 * hour), world.places))
    const runs = (texts = {}) =>
      wanted(texts, { ...bucketBounds, reportsAtOnce: 1 }).filter((key) =>
        key.startsWith('runs/backup-verda'),
      )
    const [first] = runs() as [string]
    expect(runs({ [first]: place.shelf.texts[first] as string })).toEqual([])
  })

  test.each<[string, string, object, boolean]>([
    ['stored', 'stored', {}, true],
    ['unchanged', 'unchanged', {}, true],
    ['failed', 'failed', {}, false],
    ['absent', 'skipped', { absent: true }, true],
    ['skipped', 'skipped', {}, false],
  ])('a report that calls one item %s is enough, or not', (_, status, more, enough) => {
    const { world, place, wanted } = shelf('r2', 'env')
    place.shelf.files = place.shelf.files.filter(({ key }) => !key.startsWith('runs/'))
    const older = runReport('backup-verda', new Date(now.getTime() - 3 * hour), world.places)
    const newer = runReport('backup-verda', new Date(now.getTime() - hour), world.places, (each) =>
      each.expected.item.name === 'env' ? { status } : unchanged(each),
    )
    const items = newer.items.map((one) => (one.item === 'env' ? { ...one, ...more } : one))
    world.putReport(older)
    world.putReport(Object.assign(newer, { items }))
    const runs = (keys: string[]) => keys.filter((key) => key.startsWith('runs/backup-verda'))
    const [first] = runs(wanted({}, { ...bucketBounds, reportsAtOnce: 1 })) as [string]
    expect(
      runs(wanted({ [first]: place.shelf.texts[first] as string }, { ...bucketBounds, reportsAtOnce: 1 })),
    ).toHaveLength(enough ? 0 : 1)
    expect(runs(wanted({ [first]: 'no report' }, { ...bucketBounds, reportsAtOnce: 1 }))).toHaveLength(1)
  })
})
