import { createHash } from 'node:crypto'
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { RotationRefused, rotate } from '../../lib/backup/rotate.ts'
import { listCopies, newestGood } from '../../lib/copies.ts'
import { type Item, items } from '../../lib/inventory.ts'
import { offersOf } from '../../lib/restore/plan/offers.ts'
import { rankOffers } from '../../lib/restore-order.ts'
import { contentsOf } from '../../lib/status/judge/contents.ts'
import { expectedOf } from '../../lib/status/judge/expected.ts'
import { rotatingDirectoryStore } from '../../lib/stores/directory/rotating.ts'
import type { RotatingStore } from '../../lib/stores/store.ts'
import { listArchives } from '../../lib/verify/survey.ts'
import { share, tries } from './tries.ts'

const now = new Date('2026-11-24T10:00:00Z')
const env = items.find(({ name }) => name === 'env') as Item
let outer: string
let cache: string
let store: RotatingStore
beforeEach(() => {
  outer = mkdtempSync(path.join(tmpdir(), 'listings-'))
  cache = path.join(outer, 'cache')
})
afterEach(() => rmSync(outer, { recursive: true }))

/** A file in the folder of the configuration, or a folder or link that has its name. */
interface Thing {
  name: string
  what:
    | 'content'
    | 'record'
    | 'strange record'
    | 'folder'
    | 'link outside'
    | 'link to a neighbour'
    | 'broken link'
  text: string
}

const stamp = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .date({ min: new Date('2026-10-01'), max: new Date('2026-11-24'), noInvalidDate: true })
      .map((date) => date.toISOString().slice(0, 10)),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '2026-11-24-09',
      '2026-11-24-09-30',
      '2026-12-01',
      '2099-12-31',
      '2026-02-30',
      '2026-11-24-99',
      'latest',
      '2000-01-01',
    ),
  },
)
const prefix = fc.oneof(
  { weight: 8, arbitrary: fc.constant('env-') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'env',
      'Env-',
      'env-extra-',
      'ssl-',
      ' env-',
      'env-\u001b[2J',
      'e\u0301nv-',
      '-env-',
      '$(id)-',
    ),
  },
)
const suffix = fc.oneof(
  { weight: 8, arbitrary: fc.constant('.tar.gz') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '.tar',
      '.tar.gz.part',
      '.tar.gz\n',
      '.tar.gz~',
      '.TAR.GZ',
      '.tar.gz.sha256.next',
      '.tar.gz.sha256.bak',
    ),
  },
)
const name = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(prefix, stamp, suffix).map((parts) => parts.join('')) },
  {
    weight: 1,
    arbitrary: fc
      .string({ unit: 'binary', minLength: 1, maxLength: 20 })
      .map((text) => text.replace(/[/\0]/g, '_'))
      .filter((text) => !['.', '..'].includes(text)),
  },
)
const text = fc.string({ maxLength: 12 })
/** An archive with its record, and with what may be wrong about them. */
const pair = fc
  .tuple(
    name,
    text,
    fc.constantFrom(
      'good',
      'good',
      'good',
      'good',
      'cut',
      'no archive',
      'no record',
      'other',
      'torn',
      'late',
      'adopted',
      'strange',
    ),
  )
  .map(([archive, content, how]): Thing[] => {
    const time =
      how === 'late'
        ? '2150-01-01T00:00:00Z'
        : `${archive.match(/\d{4}-\d\d-\d\d/)?.[0] ?? '2026-01-01'}T05:00:00Z`
    const bytes = Buffer.byteLength(content) + (how === 'cut' ? 1 : 0)
    const digest = createHash('sha256').update(content).digest('hex')
    const of = how === 'other' ? 'env-2026-11-01.tar.gz' : archive
    const record = `# time: ${time}\n# bytes: ${bytes}\n${how === 'adopted' ? '# adopted: 2026-11-24T09:00:00Z\n' : ''}${digest}  ${of}\n`
    const own: Thing = { name: archive, what: 'content', text: content }
    const beside: Thing = {
      name: `${archive}.sha256`,
      what: how === 'strange' ? 'strange record' : 'record',
      text: how === 'torn' ? record.slice(0, 20) : record,
    }
    return how === 'no record' ? [own] : how === 'no archive' ? [beside] : [own, beside]
  })
const odd = fc
  .record({
    name: fc.oneof(
      name,
      name.map((one) => `${one}.sha256`),
    ),
    what: fc.constantFrom<Thing['what']>(
      'content',
      'folder',
      'link outside',
      'link to a neighbour',
      'broken link',
    ),
    text: fc.string({ unit: 'binary', maxLength: 40 }),
  })
  .map((one) => [one])
const folder = fc
  .array(fc.oneof({ weight: 5, arbitrary: pair }, { weight: 1, arbitrary: odd }), { maxLength: 14 })
  .map((each) => each.flat())

function build(things: readonly Thing[]): void {
  rmSync(outer, { recursive: true })
  for (const each of ['cache/config', 'cache/runs', 'outside'])
    mkdirSync(path.join(outer, each), { recursive: true })
  for (const each of [
    'outside/secret',
    'cache/env-2026-01-01.tar.gz',
    'cache/config/neighbour',
    'env-2026-01-02.tar.gz',
  ])
    writeFileSync(path.join(outer, each), 'untouched')
  for (const { name: file, what, text: content } of things) {
    const target = path.join(cache, 'config', file)
    if (lstatSync(target, { throwIfNoEntry: false }) !== undefined || Buffer.byteLength(file) > 255) continue
    if (what === 'folder') {
      mkdirSync(target)
      writeFileSync(path.join(target, 'env-2026-01-03.tar.gz'), 'untouched')
    } else if (what === 'link outside') symlinkSync('../../outside/secret', target)
    else if (what === 'link to a neighbour') symlinkSync('neighbour', target)
    else if (what === 'broken link') symlinkSync('/nowhere/at/all', target)
    else writeFileSync(target, what === 'strange record' ? content.repeat(5000) : content)
  }
  store = rotatingDirectoryStore({ name: 'sfs', root: cache })
}

/** Everything in the whole world, by its path: what it is, and what it holds. */
function stock(below = outer): Map<string, string> {
  const found = new Map<string, string>()
  for (const entry of readdirSync(below, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name)
    const what = entry.isDirectory()
      ? 'folder'
      : entry.isSymbolicLink()
        ? `link ${readlinkSync(file)}`
        : readFileSync(file, 'latin1')
    found.set(path.relative(below, file), what)
  }
  return found
}

/** Read anew, without the project's own reader: an archive of the item whose record speaks of it. */
function isOwnPair(key: string, before: Map<string, string>): boolean {
  const archive = /^cache\/config\/(env-(\d{4}-\d\d-\d\d)(?:-\d\d(?:-\d\d)?)?\.tar\.gz)(?:\.sha256)?$/.exec(
    key,
  )
  if (archive === null || Number.isNaN(Date.parse(archive[2] as string))) return false
  const record = before.get(`cache/config/${archive[1]}.sha256`) ?? ''
  return record.split('\n').some((line) => /^[0-9a-f]{64} [ *]/.test(line) && line.slice(66) === archive[1])
}

const rule = fc.record({ daily: fc.nat(4), weekly: fc.nat(2), monthly: fc.nat(2) })

test('whatever lies in the cache, it is listed and rotated without a fault, and only recorded archives of the item go', async () => {
  const outcomes = { removed: 0, refused: 0, kept: 0 }
  await fc.assert(
    fc.asyncProperty(folder, rule, async (things, keep) => {
      build(things)
      const before = stock()
      const copies = await listCopies(store, 'config/', 'env')
      const newest = await newestGood(store, copies, now)
      expect(stock()).toEqual(before)
      let removed: string[] = []
      try {
        removed = (await rotate(store, copies, keep, now)).removed.map(({ key }) => key)
        outcomes[removed.length > 0 ? 'removed' : 'kept']++
      } catch (error) {
        if (!(error instanceof RotationRefused)) throw error
        outcomes.refused++
      }
      const after = stock()
      const gone = [...before.keys()].filter((key) => !after.has(key))
      for (const key of gone) expect(isOwnPair(key, before), key).toBe(true)
      for (const [key, content] of after) expect(before.get(key), key).toBe(content)
      expect(new Set(gone.map((key) => key.replace(/^cache\//, '').replace(/\.sha256$/, '')))).toEqual(
        new Set(removed),
      )
      if (newest === undefined) return
      expect(newest.time <= now && before.has(`cache/${newest.key}`)).toBe(true)
      const fits = newest.time.toISOString().replace(/[T:]/g, '-').startsWith(newest.stamp)
      if (fits && newest.record.adopted === undefined)
        expect(after.has(`cache/${newest.key}`), 'the newest good copy').toBe(true)
    }),
    tries(80),
  )
  expect(Math.min(...Object.values(outcomes)), JSON.stringify(outcomes)).toBeGreaterThan(share(3))
})

test('whatever lies in the cache, restore, verify and status sort it without a fault, and take nothing that is not the item’s', async () => {
  const expected = expectedOf('production', ['sfs'])
  await fc.assert(
    fc.asyncProperty(
      folder,
      fc.constantFrom('order' as const, 'newest' as const),
      fc.option(fc.constant(new Date('2026-11-10T12:00:00Z')), { nil: undefined }),
      async (things, prefer, at) => {
        build(things)
        const before = stock()
        const source = { name: 'sfs' as const, store: () => store, folders: (folder: string) => [folder] }
        const offers = await offersOf(source as never, env, 'production', at ?? now)
        const ranked = rankOffers(offers, {
          order: ['sfs'],
          prefer,
          environment: 'production',
          now,
          ...(at ? { at } : {}),
        })
        expect(ranked.candidates.length + ranked.passed.length).toBe(offers.length)
        for (const { key, time, kind } of ranked.candidates) {
          expect(key).toMatch(/^config\/env-(?:latest|20\d\d-\d\d-\d\d(?:-\d\d){0,2})\.tar\.gz$/)
          if (kind !== 'latest') expect(time !== undefined && time <= (at ?? now)).toBe(true)
        }
        const archives = await listArchives({ name: 'sfs', bucket: 'cache', store }, env, 'production')
        // A record that the older scripts' archive left behind is something to verify, and nothing to restore.
        const there = archives.filter(({ bytes, stamp }) => bytes !== undefined || stamp !== undefined)
        expect(new Set(there.map(({ key }) => key))).toEqual(new Set(offers.map(({ key }) => key)))
        const files = []
        for await (const entry of store.list('')) files.push(entry)
        const contents = contentsOf(
          { store: 'sfs', title: 'SFS', state: 'seen', at: now, files, texts: {} },
          expected,
          'production',
        )
        const sorted = [
          ...contents.archives.flatMap(({ copies }) =>
            copies.flatMap(({ key, bytes, recordKey }) => [...(bytes === undefined ? [] : [key]), recordKey]),
          ),
          ...contents.latest,
          ...contents.reports.map(({ key }) => key),
          ...contents.unexpected.map(({ key }) => key),
        ].filter((key) => key !== undefined)
        expect(new Set(sorted).size).toBe(sorted.length)
        for (const key of sorted) expect(files.some((file) => file.key === key)).toBe(true)
        expect(stock()).toEqual(before)
      },
    ),
    tries(80),
  )
})
