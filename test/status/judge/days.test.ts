import { describe, expect, test } from 'vitest'
import type { CommandName } from '../../../lib/inventory.ts'
import { assess } from '../../../lib/status/judge/assess.ts'
import {
  day,
  healthyWorld,
  hour,
  type Place,
  removeFile,
  runReport,
  unchanged,
  type World,
} from '../world.ts'

const now = new Date('2026-11-24T10:07:00Z')
const shape = { now, copies: 20, unchangedDays: 0, minutesAgo: 7, hetzner: false }

/** What the calendar says of an item in a store, in a world that was sound before. */
function badDays(item: string, store: string, prepare: (world: World, place: Place) => void) {
  const world = healthyWorld(shape)
  const place = placeOf(world, item, store)
  prepare(world, place)
  const bad = assess(world.seen).badDays.find((one) => one.item === item && one.store === store)
  return { failed: bad?.failed ?? [], missed: bad?.missed ?? [] }
}

const placeOf = ({ places }: World, item: string, store: string) =>
  places.find(({ expected }) => expected.item.name === item && expected.store === store) as Place

/** Without its archives of these ages in days; the newest is of today. */
function remove({ shelf, keys }: Place, ages: readonly number[]) {
  for (const age of ages) for (const end of ['', '.sha256']) removeFile({ shelf }, `${keys[age]}${end}`)
}

/** Read for the calendar alone: a report of so many hours ago in which an item came out so in a store. */
function told({ seen, places }: World, command: CommandName, hours: number, one: Place, status: string) {
  const time = new Date(now.getTime() - hours * hour)
  const report = runReport(command, time, places, (place) => (place === one ? { status } : unchanged(place)))
  const from = command === 'backup-cron' ? ('sfs' as const) : ('r2' as const)
  seen.dailyReports = [...(seen.dailyReports ?? []), { from, text: JSON.stringify(report) }]
}

describe('a day has failed', () => {
  test('when the last run of it that was read failed, also with an archive from before', () => {
    const failed = ['2026-11-21']
    expect(badDays('env', 'r2', (world, place) => told(world, 'backup-verda', 72, place, 'failed'))).toEqual({
      failed,
      missed: [],
    })
    const twice = badDays('env', 'r2', (world, place) => {
      remove(place, [3])
      told(world, 'backup-verda', 73, place, 'unchanged')
      told(world, 'backup-verda', 72, place, 'failed')
    })
    expect(twice).toEqual({ failed, missed: [] })
  })

  test('not when a later run of the day was good', () => {
    const bad = badDays('env', 'r2', (world, place) => {
      told(world, 'backup-verda', 73, place, 'failed')
      told(world, 'backup-verda', 72, place, 'unchanged')
    })
    expect(bad).toEqual({ failed: [], missed: [] })
  })

  test('not because it failed in another store, nor because a report on the share says so of R2', () => {
    const bad = badDays('env', 'r2', (world, place) => {
      told(world, 'backup-verda', 72, placeOf(world, 'env', 'mello'), 'failed')
      told(world, 'backup-cron', 72, place, 'failed')
    })
    expect(bad).toEqual({ failed: [], missed: [] })
  })
})

describe('a day was missed', () => {
  test('when neither an archive nor the report of a run is there, though cron starts one', () => {
    const missed = ['2026-11-18', '2026-11-20']
    expect(badDays('env', 'r2', (_, place) => remove(place, [4, 6]))).toEqual({ failed: [], missed })
  })

  test('not when a run of its command left a report, nor where only a person backs it up', () => {
    const none = { failed: [], missed: [] }
    const ran = badDays('env', 'r2', ({ places, putReport }, place) => {
      remove(place, [4])
      putReport(runReport('backup-verda', new Date(now.getTime() - 4 * day), places))
    })
    expect(ran).toEqual(none)
    expect(badDays('env', 'mello', (_, place) => remove(place, [4]))).toEqual(none)
  })

  test('not before the first sign of it, and today only when it is overdue', () => {
    const first = badDays('user-data', 'r2', (_, place) => remove(place, [17, 18, 19]))
    expect(first).toEqual({ failed: [], missed: [] })
    const today = (item: string, command: CommandName) =>
      badDays(item, 'r2', ({ seen }, place) => {
        remove(place, [0])
        for (const shelf of seen.shelves) {
          shelf.files = shelf.files.filter(({ key }) => !key.startsWith(`runs/${command}`))
          for (const key of Object.keys(shelf.texts))
            if (key.startsWith(`runs/${command}`)) delete shelf.texts[key]
        }
      }).missed
    expect(today('user-data', 'backup-mello')).toEqual(['2026-11-24'])
    expect(today('comfyume-admin', 'backup-verda')).toEqual([])
  })

  test('what comes from Verda is not missed while Verda is marked as off', () => {
    const off = (world: World, place: Place) => {
      remove(place, [2, 3, 6])
      world.seen.verdaOff = { since: new Date('2026-11-20T18:00:00Z'), answers: false }
      told(world, 'backup-verda', 48, place, 'failed')
    }
    expect(badDays('env', 'r2', off)).toEqual({ failed: [], missed: ['2026-11-18'] })
    const fromMello = badDays('user-data', 'r2', off)
    expect(fromMello.missed).toEqual(['2026-11-18', '2026-11-21', '2026-11-22'])
  })
})

test('reports that are read for the calendar change no verdict', () => {
  const world = healthyWorld(shape)
  const before = assess(world.seen)
  told(world, 'backup-verda', 72, placeOf(world, 'env', 'r2'), 'failed')
  const { badDays: bad, ...after } = assess(world.seen)
  expect(bad).toEqual([{ item: 'env', store: 'r2', failed: ['2026-11-21'], missed: [] }])
  expect(after).toEqual({ ...before, badDays: undefined })
})
