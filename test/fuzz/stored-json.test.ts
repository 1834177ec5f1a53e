import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readSettings } from '../../lib/settings/settings.ts'
import { assess } from '../../lib/status/judge/assess.ts'
import { readReport } from '../../lib/status/judge/runs.ts'
import { type Memory, recall, remember } from '../../lib/status/look/memory.ts'
import { statusPage } from '../../lib/status/show/page/page.ts'
import { statusText } from '../../lib/status/show/text.ts'
import { openMemory } from '../../lib/verify/memory.ts'
import type { Archive } from '../../lib/verify/survey.ts'
import { healthyWorld, runReport } from '../status/world.ts'
import { share, tries } from './tries.ts'

const now = new Date('2026-11-24T10:00:00Z')
const world = healthyWorld({ now, copies: 2, unchangedDays: 1, minutesAgo: 10, hetzner: false })
let folder: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'stored-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Anything that JSON can say, with the names that mean something to JavaScript. */
const anything = fc.oneof(
  fc.jsonValue(),
  fc.dictionary(
    fc.constantFrom('toString', 'valueOf', '__proto__', 'constructor', 'length', 'then', 'toJSON'),
    fc.jsonValue(),
    { noNullPrototype: true },
  ),
  fc.constantFrom<unknown>(
    null,
    -1,
    1e308,
    '',
    [],
    {},
    'yesterday',
    '2026-11-24T05:00:00Z',
    '+010000-01-01T00:00:00Z',
    '\u001b[2J',
    '../../x',
    'config/env-2026-11-24.tar.gz',
    [null],
    [[]],
    'x'.repeat(10_000),
  ),
)

/** The same, with one to three of its values, wherever they stand, exchanged for anything. */
function spoilt(sound: unknown): fc.Arbitrary<unknown> {
  const change = fc.tuple(fc.array(fc.nat(), { minLength: 1, maxLength: 6 }), anything)
  return fc.array(change, { minLength: 1, maxLength: 3 }).map((changes) => {
    const copy = JSON.parse(JSON.stringify(sound))
    for (const [way, value] of changes) {
      let at = copy
      for (const [depth, step] of way.entries()) {
        const keys = Object.keys(at)
        if (keys.length === 0) break
        const key = keys[step % keys.length] as string
        const inner = at[key]
        if (depth === way.length - 1 || typeof inner !== 'object' || inner === null) {
          at[key] = JSON.parse(JSON.stringify(value))
          break
        }
        at = inner
      }
    }
    return copy
  })
}

/** As a file: JSON, JSON that is cut, or nothing of the kind. */
const text = (sound: unknown) =>
  fc.oneof(
    { weight: 8, arbitrary: spoilt(sound).map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: anything.map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: fc.nat().map((at) => JSON.stringify(sound).slice(0, at % 2000)) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
  )

/** What status makes of what it saw, in all its forms. */
function shown(seen: Parameters<typeof assess>[0]): string {
  const state = assess(seen)
  return statusText(state) + statusPage(state) + JSON.stringify(state)
}

test('whatever lies under the name of a report or a record, status says what it makes of it', () => {
  const report = {
    ...runReport('backup-cron', now, world.places),
    problems: ['a', 'b'],
    safeToShutDown: true,
  }
  const shelf = world.seen.shelves.find(({ store }) => store === 'sfs')
  if (shelf === undefined) throw new Error('no share')
  const keys = Object.keys(shelf.texts)
  fc.assert(
    fc.property(text(report), fc.nat(), fc.boolean(), (any, at, isReport) => {
      readReport(any)
      const key = keys.filter((one) => one.endsWith('.json') === isReport)
      const texts = { ...shelf.texts, [key[at % key.length] as string]: any }
      const shelves = world.seen.shelves.map((one) => (one === shelf ? { ...shelf, texts } : one))
      expect(shown({ ...world.seen, shelves })).not.toBe('')
    }),
    tries(50),
  )
})

test('whatever lies in the place of what status remembers, it is used or forgotten', async () => {
  const shelf = world.seen.shelves.find(({ store }) => store === 'sfs')
  if (shelf === undefined || world.seen.models === undefined) throw new Error('no share')
  const sound: Memory = {
    verdaOff: now,
    sfs: { ...shelf, room: { freeBytes: 1, totalBytes: 2 }, clockAheadSeconds: 0 },
    models: world.seen.models,
  }
  const file = path.join(folder, 'status.json')
  let used = 0
  await fc.assert(
    fc.asyncProperty(text(sound), async (any) => {
      writeFileSync(file, any)
      const memory = await recall(file)
      if (memory.verdaOff) expect(memory.verdaOff.getTime()).not.toBeNaN()
      const then = memory.sfs && {
        ...memory.sfs,
        state: 'remembered' as const,
        problem: 'it does not answer',
        answers: false,
      }
      const shelves = world.seen.shelves.map((one) => (one === shelf && then ? then : one))
      if (then) used++
      const { models: _, ...seen } = world.seen
      expect(
        shown({
          ...seen,
          shelves,
          ...(memory.models && { models: memory.models }),
          ...(memory.verdaOff && { verdaOff: { since: memory.verdaOff, answers: false } }),
        }),
      ).not.toBe('')
      await remember(file, memory)
      expect(await recall(file)).toEqual(memory)
    }),
    tries(50),
  )
  expect(used).toBeGreaterThan(share(10))
})

test('whatever lies in the place of what verify remembers, it goes on, and says so when it begins anew', async () => {
  const archive: Archive = {
    store: 'sfs',
    bucket: 'cache',
    item: 'env',
    key: 'config/env-2026-11-24.tar.gz',
    bytes: 10,
    modified: now,
    recorded: true,
  }
  const sound = {
    place: 'sfs /mnt',
    first: 'cache/config/env-2026-11-24.tar.gz',
    archives: {
      'cache/config/env-2026-11-24.tar.gz': {
        at: '2026-11-24T10:00:00.000Z',
        status: 'good',
        bytes: 10,
        modified: now.toISOString(),
        recorded: true,
        sha256: 'ab',
      },
    },
  }
  const warnings: string[] = []
  const open = () => openMemory(folder, 'sfs', readSettings({}, []), (warning) => warnings.push(warning))
  await (await open()).save()
  const { readdirSync } = await import('node:fs')
  const file = path.join(folder, readdirSync(folder)[0] as string)
  await fc.assert(
    fc.asyncProperty(text(sound), async (any) => {
      writeFileSync(file, any)
      warnings.length = 0
      const memory = await open()
      const seen = memory.seen(archive)
      if (seen !== undefined) expect(['good', 'broken', 'unverified']).toContain(seen.status)
      if (seen !== undefined) expect(Number.isNaN(Date.parse(seen.at))).toBe(false)
      memory.isFirst(archive)
      memory.note(archive, { at: '2026-11-24T11:00:00.000Z', status: 'good', recorded: true })
      memory.setFirst(archive)
      memory.keepOnly([archive])
      await memory.save()
      const next = await open()
      expect(next.seen(archive)?.status).toBe('good')
      expect(next.isFirst(archive)).toBe(true)
    }),
    tries(300),
  )
})
