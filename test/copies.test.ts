import { createHash } from 'node:crypto'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { writeList } from '../lib/capture/list.ts'
import { type Link, listName } from '../lib/chain.ts'
import {
  type Copy,
  findLatest,
  isAfter,
  isWithin,
  type KnownCopy,
  listCopies,
  newestAndLater,
  newestGood,
  readCopy,
} from '../lib/copies.ts'
import type { Stamp } from '../lib/naming.ts'
import { makeRecord } from '../lib/record.ts'
import { directoryStore } from '../lib/stores/directory/store.ts'
import type { AppendOnlyStore } from '../lib/stores/store.ts'

const sha256 = 'a'.repeat(64)
let root: string
let store: AppendOnlyStore
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'copies-'))
  mkdirSync(path.join(root, 'config'))
  store = directoryStore({ name: 'sfs', root })
})
afterEach(() => rmSync(root, { recursive: true }))

const put = (name: string, content = '') => writeFileSync(path.join(root, 'config', name), content)
const record = (name: string, lines = '') => put(`${name}.sha256`, `${lines}${sha256}  ${name}\n`)
const backup = (stamp: string, time: string, bytes = 3) => {
  put(`env-${stamp}.tar.gz`, 'abc')
  record(`env-${stamp}.tar.gz`, `# time: ${time}\n# bytes: ${bytes}\n`)
}
const list = () => listCopies(store, 'config/', 'env')
const newest = async (now: string) =>
  (await newestGood(store, await list(), new Date(now)))?.key.replace(/^config\/env-|\.tar\.gz$/g, '')

test('law 2: only what is exactly an archive of the item is a copy of it', async () => {
  for (const name of [
    'env-2026-11-24.tar.gz',
    'env-2026-11-24-05.tar.gz',
    'env-extra-2026-11-24.tar.gz',
    'env-2026-13-01.tar.gz',
    'env-2026-11-24.tar.gz.part',
    'env-2026-11-24.tar.gz.sha256.next',
    'env-2026-11-24.tar',
    'env-latest.tar.gz',
    'env-2026-11-24-copy.tar.gz',
    'ENV-2026-11-24.tar.gz',
    'my-env-2026-11-24.tar.gz',
    'readme.txt',
    '.env-2026-11-24.tar.gz.host@1@1.partial',
  ])
    put(name, 'abc')
  mkdirSync(path.join(root, 'config/env-2026-11-25.tar.gz'))
  mkdirSync(path.join(root, 'config/env-old'))
  put('env-old/env-2026-11-23.tar.gz', 'abc')
  symlinkSync('nowhere', path.join(root, 'config/env-2026-11-22.tar.gz'))
  const copies = await list()
  expect(copies.map(({ stamp }) => stamp)).toEqual(['2026-11-24-05', '2026-11-24'])
  expect(copies.every(({ bytes, recordKey }) => bytes === 3 && recordKey === undefined)).toBe(true)
})

test('law 3: an archive without a record is no backup, and a record without its archive no good one', async () => {
  put('env-2026-11-24.tar.gz', 'abc')
  record('env-2026-11-23.tar.gz')
  backup('2026-11-22', '2026-11-22T05:00:00Z')
  expect(await Promise.all((await list()).map(async (copy) => (await readCopy(store, copy))?.good))).toEqual([
    undefined,
    false,
    true,
  ])
  expect(await newest('2026-11-24T10:00:00Z')).toBe('2026-11-22')
})

test.each([
  ['cut short', '# item: env\n'],
  ['of another archive', `${sha256}  env-2026-11-23.tar.gz\n`],
  ['of a path', `${sha256}  config/env-2026-11-24.tar.gz\n`],
  ['empty', ''],
  ['not text', '\0\xff'.repeat(50)],
])('a record that is %s is none', async (_, text) => {
  put('env-2026-11-24.tar.gz', 'abc')
  put('env-2026-11-24.tar.gz.sha256', text)
  expect(await readCopy(store, (await list())[0] as Copy)).toBeUndefined()
})

test('a record with fewer lines is one; the name then says when', async () => {
  put('env-2026-11-24-05.tar.gz', 'abc')
  record('env-2026-11-24-05.tar.gz')
  expect(await readCopy(store, (await list())[0] as Copy)).toMatchObject({
    time: new Date('2026-11-24T05:00:00Z'),
    good: true,
  })
})

test('a copy whose size is not that of its record is not good', async () => {
  backup('2026-11-24', '2026-11-24T05:00:00Z', 4)
  backup('2026-11-23', '2026-11-23T05:00:00Z')
  expect(await newest('2026-11-24T10:00:00Z')).toBe('2026-11-23')
})

test.each<[string, Record<string, string>, string, string | undefined]>([
  ['the newest', { '2026-11-23': '05', '2026-11-24': '05' }, '2026-11-24T10', '2026-11-24'],
  ['none', {}, '2026-11-24T10', undefined],
  ['nothing of a day to come', { '2026-11-23': '05', '2026-11-25': '05' }, '2026-11-24T10', '2026-11-23'],
  ['nothing of an hour to come', { '2026-11-23': '05', '2026-11-24': '11' }, '2026-11-24T10', '2026-11-23'],
  ['the hour after the day', { '2026-11-24': '02', '2026-11-24-06': '06' }, '2026-11-24T10', '2026-11-24-06'],
  [
    "the day's own file, replaced after an hour's was written",
    { '2026-11-24': '09', '2026-11-24-07': '07', '2026-11-24-08': '08', '2026-11-23': '10' },
    '2026-11-24T10',
    '2026-11-24',
  ],
])('law 2, the record is the truth about when: newest is %s', async (_, hours, now, expected) => {
  for (const [stamp, hour] of Object.entries(hours)) backup(stamp, `${stamp.slice(0, 10)}T${hour}:30:00Z`)
  expect(await newest(`${now}:00:00Z`)).toBe(expected)
})

test('of a store that holds much else, no more is listed than begins like the item', async () => {
  const asked: string[] = []
  const counting: AppendOnlyStore = {
    ...store,
    list(prefix) {
      asked.push(prefix)
      return store.list(prefix)
    },
  }
  await listCopies(counting, 'config/', 'env')
  expect(asked).toEqual(['config/env-20'])
})

test('no more records are read than are needed', async () => {
  for (let day = 10; day < 30; day++) backup(`2026-11-${day}`, `2026-11-${day}T05:00:00Z`)
  let opened = 0
  const counting: AppendOnlyStore = {
    ...store,
    open(key) {
      opened++
      return store.open(key)
    },
  }
  await newestGood(counting, await list(), new Date('2026-11-28T10:00:00Z'))
  expect(opened).toBe(1)
})

test.each([
  ['2026-11-24', '2026-11-24T23:59:59.999Z', true],
  ['2026-11-24', '2026-11-25T00:00:00Z', false],
  ['2026-11-24-05', '2026-11-24T05:59:00Z', true],
  ['2026-11-24-05-07', '2026-11-24T05:08:00Z', false],
  ['2026-11-24', '1970-01-01T00:00:00Z', false],
  ['2026-11-24', '+012026-11-24T00:00:00Z', false],
])('%s and %s: within is %s', (stamp, time, expected) => {
  expect(isWithin(stamp as Stamp, new Date(time))).toBe(expected)
})

test('a record of a gigabyte is none: nobody who lists the store takes it into memory', async () => {
  backup('2026-11-24', '2026-11-24T05:00:00Z')
  backup('2026-11-23', '2026-11-23T05:00:00Z')
  truncateSync(path.join(root, 'config/env-2026-11-24.tar.gz.sha256'), 2 ** 30)
  const before = process.memoryUsage().rss
  expect(await newest('2026-11-24T10:00:00Z')).toBe('2026-11-23')
  expect(process.memoryUsage().rss - before).toBeLessThan(200e6)
})

test('a record that waits for its name beside no archive is no copy', async () => {
  put('env-2026-11-24.tar.gz.sha256.next', 'a record')
  expect(await list()).toEqual([])
})

test('cut off between an archive and its record, the one of two records that fits is its record', async () => {
  const name = 'env-2026-11-24.tar.gz'
  const of = (content: string) => createHash('sha256').update(content).digest('hex')
  const text = (content: string, hour: string) =>
    `# time: 2026-11-24T${hour}:05:00Z\n# bytes: ${content.length}\n${of(content)}  ${name}\n`
  put(name, 'new')
  put(`${name}.sha256`, text('old', '09'))
  put(`${name}.sha256.next`, text('new', '10'))
  const known = async () => readCopy(store, (await list())[0] as Copy)
  expect((await known())?.record.sha256).toBe(of('new'))
  put(name, 'old')
  expect((await known())?.record.sha256).toBe(of('old'))
  put(name, 'new')
  rmSync(path.join(root, 'config', `${name}.sha256`))
  expect(await known()).toMatchObject({ good: true, time: new Date('2026-11-24T10:05:00Z') })
  put(name, 'some other')
  expect(await known()).toBeUndefined()
})

test.each([
  ['2026-11-24', '2026-11-24T23:59:59.999Z', false],
  ['2026-11-25', '2026-11-24T23:59:59.999Z', true],
  ['2026-11-23', '2026-11-24T00:00:00Z', false],
  ['2026-11-24-05', '2026-11-24T04:59:00Z', true],
  ['2026-11-24-05', '2026-11-24T05:00:00Z', false],
])('%s and %s: still to come is %s', (stamp, time, expected) => {
  expect(isAfter(stamp as Stamp, new Date(time))).toBe(expected)
})

test('a copy of this very moment counts, and of two of one moment the later name', async () => {
  backup('2026-11-24-10', '2026-11-24T10:00:00Z')
  expect(await newest('2026-11-24T10:00:00Z')).toBe('2026-11-24-10')
  backup('2026-11-24', '2026-11-24T10:00:00Z')
  expect(await newest('2026-11-24T10:00:00Z')).toBe('2026-11-24-10')
})

describe('the one archive that the older scripts kept', () => {
  const latest = () => findLatest(store, 'config/', 'env')

  test('is found, with its record where it has one', async () => {
    put('env-latest.tar.gz', 'abc')
    expect(await latest()).toMatchObject({ key: 'config/env-latest.tar.gz', bytes: 3 })
    expect(await latest()).not.toHaveProperty('recordKey')
    record('env-latest.tar.gz')
    expect(await latest()).toMatchObject({ bytes: 3, recordKey: 'config/env-latest.tar.gz.sha256' })
  })

  test('is no other file, and no record without it', async () => {
    for (const name of [
      'env-2026-11-24.tar.gz',
      'env-latest.tar.gz.part',
      'env-latest.tar.gz.sha256.bak',
      'ssl-latest.tar.gz',
    ])
      put(name, 'abc')
    record('env-latest.tar.gz')
    expect(await latest()).toBeUndefined()
    put('env-latest.tar.gz', 'abc')
    rmSync(path.join(root, 'config/env-latest.tar.gz.sha256'))
    expect(await latest()).not.toHaveProperty('recordKey')
  })
})

describe('what an hour costs does not grow with history', () => {
  const now = new Date('2026-11-24T10:20:00Z')
  const hoursBack = (hours: number) =>
    new Date(now.getTime() - hours * 3_600_000).toISOString().slice(0, 13).replace('T', '-')

  test('whatever lies in the store, the newest good copy is the one that a whole listing gives', async () => {
    const hours = fc.oneof(fc.integer({ min: -60, max: 80 }), fc.integer({ min: -500, max: 3000 }))
    const copy = fc.record({
      back: hours,
      late: fc.integer({ min: 0, max: 30 }),
      bytes: fc.constantFrom(3, 3, 4),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(copy, { maxLength: 6 }), async (copies) => {
        rmSync(path.join(root, 'config'), { recursive: true })
        mkdirSync(path.join(root, 'config'))
        for (const { back, late, bytes } of copies)
          backup(hoursBack(back), `${hoursBack(back).slice(0, 10)}T10:${10 + late}:00Z`, bytes)
        const { newest, copies: later } = await newestAndLater(store, 'config/', 'env', now)
        const all = await list()
        expect(newest).toEqual(await newestGood(store, all, now))
        const today = all.filter(({ stamp }) => stamp >= '2026-11-24')
        expect(later.filter(({ stamp }) => stamp >= '2026-11-24')).toEqual(today)
      }),
      { numRuns: 60 },
    )
  })
})

describe('an increment is good where all that it builds on lies there', () => {
  const linkOf = (stamp: string): Link => ({
    archive: `env-${stamp}.tar.gz`,
    sha256: digest(stamp),
    bytes: 3,
  })
  const digest = (text: string) => createHash('sha256').update(text).digest('hex')
  /** Each hour builds on the one before; the first is whole. */
  async function chain(...stamps: string[]) {
    for (const [number, stamp] of stamps.entries()) {
      const own = linkOf(stamp)
      const links = stamps.slice(0, number).map(linkOf)
      const base = links.at(-1)
      const increment = base && { base, whole: linkOf(stamps[0] as string).archive, link: number, deleted: 0 }
      const list = await buffer(writeList({ item: 'env', archive: own, links }, [], []))
      put(own.archive, 'abc')
      writeFileSync(path.join(root, 'config', listName(own.archive)), list)
      const about = { ...own, list: { sha256: 'b'.repeat(64), bytes: list.length }, increment }
      const time = new Date(`${stamp.slice(0, 10)}T${stamp.slice(11, 13)}:10:00Z`)
      put(`${own.archive}.sha256`, makeRecord({ ...about, time }))
    }
  }
  const hours = ['2026-11-23-05', '2026-11-23-06', '2026-11-24-05', '2026-11-24-06', '2026-11-24-07']
  const now = '2026-11-24T10:00:00Z'
  const without = (name: string) => rmSync(path.join(root, 'config', name))

  test('the newest one is found, and its list counts as no copy', async () => {
    await chain(...hours)
    expect(await newest(now)).toBe('2026-11-24-07')
    expect((await list()).map(({ stamp }) => stamp)).toEqual(hours.toReversed())
  })

  test.each<[string, string, () => void]>([
    ['a link is gone', '2026-11-23-06', () => without('env-2026-11-24-05.tar.gz')],
    ['the record of a link is gone', '2026-11-23-06', () => without('env-2026-11-24-05.tar.gz.sha256')],
    ['a link is cut short', '2026-11-23-06', () => put('env-2026-11-24-05.tar.gz', 'a')],
    ['its list is gone', '2026-11-24-06', () => without('env-2026-11-24-07.list.gz')],
    ['its list is none', '2026-11-24-06', () => put('env-2026-11-24-07.list.gz', 'none')],
    [
      'its list is another one',
      '2026-11-24-06',
      () => copyFileSync(inFolder('env-2026-11-24-06.list.gz'), inFolder('env-2026-11-24-07.list.gz')),
    ],
  ])('where %s, the last that is whole is the newest good one: %s', async (_, expected, harm) => {
    await chain(...hours)
    harm()
    expect(await newest(now)).toBe(expected)
  })
  const inFolder = (name: string) => path.join(root, 'config', name)

  test('where the whole one is gone, the chain before it serves, and where there is none, nothing', async () => {
    await chain('2026-11-22-05', '2026-11-22-06')
    await chain(...hours)
    without('env-2026-11-23-05.tar.gz')
    expect(await newest(now)).toBe('2026-11-22-06')
    without('env-2026-11-22-05.tar.gz')
    expect(await newest(now)).toBeUndefined()
  })

  test('a link that is known to be broken counts as one that is lost', async () => {
    await chain(...hours)
    const counts = (copy: KnownCopy, links: readonly Copy[]) =>
      ![...links, copy].some(({ stamp }) => stamp === '2026-11-24-06')
    const found = await newestGood(store, await list(), new Date(now), counts)
    expect(found?.stamp).toBe('2026-11-24-05')
  })

  test.each([0, 6, 20, 100])(
    'however long ago it was made, all of its chain is listed: %i days',
    async (days) => {
      await chain(...hours)
      const later = new Date(new Date(now).getTime() + days * 24 * 3600 * 1000)
      const found = await newestAndLater(store, 'config/', 'env', later)
      expect(found.newest?.stamp).toBe('2026-11-24-07')
    },
  )
})
