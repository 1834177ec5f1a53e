import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { recordName, runReportName } from '../../../lib/naming.ts'
import { assess } from '../../../lib/status/judge/assess.ts'
import type { Cell } from '../../../lib/status/judge/cell.ts'
import type { Trouble } from '../../../lib/status/judge/finding.ts'
import type { SeenFile } from '../../../lib/status/look/seen.ts'
import {
  day,
  healthyWorld,
  hour,
  isLate,
  type Place,
  putCopy,
  removeFile,
  runReport,
  type Shape,
  unchanged,
  type World,
} from '../world.ts'

/** A trouble, the store and, where it is about one, the item. */
type Claim = `${Trouble} ${string}`

/** Spoils one place of a world, and says what has to be found because of that. */
type Spoil = (world: World, place: Place) => Claim[]

const shape: fc.Arbitrary<Shape> = fc.record({
  now: fc
    .date({
      min: new Date('2024-02-20T00:00:00Z'),
      max: new Date('2031-12-31T00:00:00Z'),
      noInvalidDate: true,
    })
    .map((time) => new Date(Math.floor(time.getTime() / 1000) * 1000)),
  copies: fc.integer({ min: 2, max: 6 }),
  unchangedDays: fc.integer({ min: 0, max: 400 }),
  minutesAgo: fc.integer({ min: 2, max: 115 }),
  hetzner: fc.boolean(),
})

const claim = (trouble: Trouble, { expected }: Place): Claim =>
  `${trouble} ${expected.store} ${expected.item.name}`
const isArchive = ({ expected }: Place) => expected.item.capture.kind !== 'models'

/** What a run says of a place is taken back: as if no run had looked at it. */
function unmention({ seen, places }: World, place: Place, tell: (other: Place) => object | undefined): void {
  for (const { texts } of seen.shelves) {
    for (const [key, text] of Object.entries(texts)) {
      if (!key.startsWith('runs/')) continue
      const { command, startedAt } = JSON.parse(text)
      const others = (other: Place) => (other === place ? tell(other) : mention(text, other))
      texts[key] = JSON.stringify(runReport(command, new Date(startedAt), places, others))
    }
  }
}

function mention(text: string, { expected }: Place): object | undefined {
  const { items } = JSON.parse(text) as { items: { item: string; stores: Record<string, object> }[] }
  return items.find(({ item }) => item === expected.item.name)?.stores[expected.store]
}

const troubles: Record<string, { of: (place: Place) => boolean; spoil: Spoil }> = {
  'nothing of it is there': {
    of: () => true,
    spoil(world, place) {
      for (const key of place.keys) for (const name of [key, recordName(key)]) removeFile(place, name)
      unmention(world, place, () => undefined)
      return [claim('missing', place)]
    },
  },
  'its newest, of which the run speaks, is gone with its record': {
    of: isArchive,
    spoil({ seen }, place) {
      const [newest = '', next = ''] = place.keys
      for (const name of [newest, recordName(newest)]) removeFile(place, name)
      const left = new Date(/# time: (.*)/.exec(place.shelf.texts[recordName(next)] ?? '')?.[1] ?? '')
      return [claim('missing', place), ...(isLate(place, left, seen.now) ? [claim('overdue', place)] : [])]
    },
  },
  'no run has looked at it for long': {
    of: (place) => isArchive(place) && place.expected.hours !== undefined,
    spoil(world, place) {
      unmention(world, place, () => undefined)
      const { now } = world.seen
      for (const key of place.keys) for (const name of [key, recordName(key)]) removeFile(place, name)
      place.keys = []
      putCopy(place, new Date(now.getTime() - 3 * day))
      return [claim('overdue', place)]
    },
  },
  'an older archive is cut short': {
    of: isArchive,
    spoil(_world, place) {
      const file = place.shelf.files.find(({ key }) => key === place.keys.at(-1))
      if (file) file.bytes--
      return [claim('broken', place)]
    },
  },
  'its newest archive is cut short': {
    of: isArchive,
    spoil({ seen }, place) {
      const file = place.shelf.files.find(({ key }) => key === place.keys[0])
      if (file) file.bytes--
      const left = new Date(
        /# time: (.*)/.exec(place.shelf.texts[recordName(place.keys[1] as string)] ?? '')?.[1] ?? '',
      )
      return [claim('broken', place), ...(isLate(place, left, seen.now) ? [claim('overdue', place)] : [])]
    },
  },
  'a record cannot be read': {
    of: isArchive,
    spoil(_world, { shelf, keys, ...rest }) {
      shelf.texts[recordName(keys.at(-1) as string)] = 'not a record'
      return [claim('broken', { shelf, keys, ...rest })]
    },
  },
  'an archive has no record': {
    of: isArchive,
    spoil(_world, place) {
      removeFile(place, recordName(place.keys.at(-1) as string))
      return [claim('no record', place)]
    },
  },
  'a record has no archive': {
    of: isArchive,
    spoil(_world, place) {
      removeFile(place, place.keys.at(-1) as string)
      return [claim('no archive', place)]
    },
  },
  'a name is from the future': {
    of: isArchive,
    spoil({ seen }, place) {
      const ahead = new Date(seen.now.getTime() + 40 * day)
      putCopy(place, ahead)
      place.keys.pop()
      return [claim('future', place)]
    },
  },
  'a record is from another day than the name': {
    of: isArchive,
    spoil({ seen }, place) {
      putCopy(place, new Date(seen.now.getTime() - 500 * day), new Date(seen.now.getTime() - 600 * day))
      place.keys.pop()
      return [claim('clock', place)]
    },
  },
  'the last run of it failed': {
    of: isArchive,
    spoil({ seen, places, putReport }, place) {
      const [command] = place.expected.commands
      if (!command) return []
      // Seconds apart, so that each such run has a name of its own.
      const time = new Date(seen.now.getTime() - places.indexOf(place) * 1000)
      if (command === 'backup-cron' && place.shelf.store !== 'sfs') return []
      const failed = (other: Place) =>
        other === place ? { status: 'failed', error: `${place.expected.store}: no room` } : undefined
      putReport(runReport(command, time, places, failed))
      return [claim('failed run', place)]
    },
  },
  'a live model is not there': {
    of: (place) => !isArchive(place),
    spoil(_world, place) {
      const key = place.keys.at(-1) as string
      for (const name of [key, recordName(key)]) removeFile(place, name)
      return [claim('missing', place)]
    },
  },
  'a model has another size than its record says': {
    of: (place) => !isArchive(place),
    spoil(_world, place) {
      const key = place.keys[0] as string
      const record = place.shelf.texts[recordName(key)] as string
      place.shelf.texts[recordName(key)] = record.replace(/# bytes: \d+/, '# bytes: 1')
      return [claim('broken', place)]
    },
  },
}

const stray: fc.Arbitrary<string> = fc.constantFrom(
  'notes.txt',
  'config/tailscale-2026-13-45.tar.gz',
  'config/tailscale-2026-11-24.tar',
  'core',
  '<script>alert(1)</script>',
)

/** `trouble store item` for each item of each finding, once. */
function claimsOf(world: World): { claims: string[]; ok: boolean } {
  const { findings, ok } = assess(world.seen)
  const claims = findings.flatMap(({ trouble, store, items }) =>
    (items.length === 0 ? [''] : items).map((item) => `${trouble} ${store ?? ''} ${item}`.trim()),
  )
  return { claims: [...new Set(claims)].sort(), ok }
}

describe('a history in which nothing is wrong', () => {
  test('is called so, however old the newest copies on what never rotates are', () => {
    fc.assert(
      fc.property(shape, (made) => {
        expect(claimsOf(healthyWorld(made))).toEqual({ claims: [], ok: true })
      }),
      { numRuns: 20 },
    )
  })
})

describe('each kind of trouble is found, and nothing else claimed', () => {
  test.each(Object.entries(troubles))('%s', (_, { of, spoil }) => {
    fc.assert(
      fc.property(shape, fc.nat(), (made, pick) => {
        const world = healthyWorld(made)
        const places = world.places.filter(of)
        const expected = spoil(world, places[pick % places.length] as Place)
        const { claims, ok } = claimsOf(world)
        expect(claims).toEqual([...new Set(expected)].sort())
        // What is superseded and can never be removed is told of, and is no alarm.
        if (claims.some((one) => /^(missing|overdue|no record|failed run|future)/.test(one)))
          expect(ok).toBe(false)
      }),
      { numRuns: 25 },
    )
  })

  test('several of them at once, in different places', () => {
    const kinds = Object.values(troubles)
    fc.assert(
      fc.property(
        shape,
        fc.uniqueArray(fc.tuple(fc.nat(), fc.nat()), {
          minLength: 2,
          maxLength: 6,
          selector: ([pick]) => pick % 40,
        }),
        (made, picks) => {
          const world = healthyWorld(made)
          const spoilt = new Set<Place>()
          const expected = picks.flatMap(([pick, kind]) => {
            const place = world.places[pick % 40] as Place | undefined
            const able = place ? kinds.filter(({ of }) => of(place)) : []
            if (!place || spoilt.has(place) || able.length === 0) return []
            spoilt.add(place)
            return able[kind % able.length]?.spoil(world, place) ?? []
          })
          expect(claimsOf(world).claims).toEqual([...new Set(expected)].sort())
        },
      ),
      { numRuns: 80 },
    )
  })

  test('a file that no backup makes, which is no alarm', () => {
    fc.assert(
      fc.property(shape, fc.nat(), stray, (made, pick, key) => {
        const world = healthyWorld(made)
        const shelf = world.seen.shelves[pick % world.seen.shelves.length]
        shelf?.files.push({ key, bytes: 3, modified: made.now })
        expect(claimsOf(world)).toEqual({ claims: [`unexpected ${shelf?.store}`], ok: true })
      }),
      { numRuns: 25 },
    )
  })

  test('a clock that is wrong', () => {
    fc.assert(
      fc.property(shape, fc.integer({ min: 301, max: 1e6 }), fc.boolean(), (made, seconds, ahead) => {
        const world = healthyWorld(made)
        const sfs = world.seen.shelves.find(({ store }) => store === 'sfs')
        if (sfs) sfs.clockAheadSeconds = ahead ? seconds : -seconds
        expect(claimsOf(world)).toEqual({ claims: ['clock sfs'], ok: false })
      }),
      { numRuns: 20 },
    )
  })

  test('a run that says it was in the future, which counts for nothing', () => {
    fc.assert(
      fc.property(shape, fc.integer({ min: 6, max: 1e6 }), (made, minutes) => {
        const world = healthyWorld(made)
        const time = new Date(made.now.getTime() + minutes * 60_000)
        const failed = () => ({ status: 'failed', error: 'no room' })
        world.putReport(runReport('backup-cron', time, world.places, failed))
        expect(claimsOf(world)).toEqual({ claims: ['future'], ok: false })
      }),
      { numRuns: 20 },
    )
  })

  test('an archive that an object store took before the time in its name', () => {
    const world = healthyWorld(plain)
    const place = world.places.find(({ expected }) => expected.store === 'r2') as Place
    for (const file of place.shelf.files)
      if (file.key === place.keys[0]) file.modified = new Date(file.modified.getTime() - 2 * day)
    expect(claimsOf(world)).toEqual({ claims: [claim('clock', place)], ok: true })
    world.seen.drill = true
    expect(claimsOf(world)).toEqual({ claims: [], ok: true })
  })

  test('a run of a writer whose clock was ahead is as old as the store knows it to be, in any store', () => {
    const world = healthyWorld({ ...plain, minutesAgo: 20 * 60 })
    const before = claimsOf(world).claims.filter((one) => one.startsWith('overdue r2'))
    expect(before).not.toEqual([])
    const claimed = new Date(plain.now.getTime() - 60_000)
    world.putReport(runReport('backup-verda', claimed, world.places))
    const key = runReportName('backup-verda', claimed)
    // The clock of Mello's own disk was ahead too.
    for (const { store, files } of world.seen.shelves)
      for (const file of files)
        if (file.key === key && store === 'r2') file.modified = new Date(plain.now.getTime() - 20 * hour)
    expect(claimsOf(world).claims.filter((one) => one.startsWith('overdue r2'))).toEqual(before)
  })

  test('so is a copy, by the time that its record came', () => {
    const world = healthyWorld({ ...plain, minutesAgo: 12 * 60 })
    const place = world.places.find(
      ({ expected }) => expected.store === 'sfs' && expected.item.name === 'env',
    ) as Place
    const cell = () =>
      assess(world.seen).cells.find(({ item, store }) => item === 'env' && store === 'sfs') as Cell
    expect(cell()).toMatchObject({ state: 'overdue' })
    const key = putCopy(place, new Date(plain.now.getTime() - 60_000))
    const record = place.shelf.files.find((file) => file.key === recordName(key)) as SeenFile
    record.modified = new Date(plain.now.getTime() - 11 * hour)
    expect(cell()).toMatchObject({ state: 'overdue', freshAt: record.modified, newest: { key } })
    const [finding] = assess(world.seen).findings.filter(({ trouble }) => trouble === 'clock')
    expect(finding).toMatchObject({ status: 'warning', items: ['env'], store: 'sfs' })
    expect(finding?.what).toMatch(
      /took config\/env-\S+ before the time that it claims: the writer's clock was/,
    )
    world.seen.drill = true
    expect(cell()).toMatchObject({ state: 'fresh' })
  })

  test('a store that cannot be reached, as one finding, with nothing said of what lies there', () => {
    fc.assert(
      fc.property(shape, fc.constantFrom('sfs', 'mello', 'r2'), (made, name) => {
        const world = healthyWorld(made)
        for (const shelf of world.seen.shelves.filter(({ store }) => store === name)) {
          Object.assign(shelf, { state: 'unseen', files: [], texts: {} })
          shelf.problem = `${shelf.title}: could not be listed: no route`
        }
        expect(claimsOf(world)).toEqual({ claims: [`unreachable ${name}`], ok: false })
      }),
      { numRuns: 20 },
    )
  })

  test('one bucket that cannot be reached leaves the others as they are', () => {
    const world = healthyWorld({ ...plain, unchangedDays: 0 })
    const [models] = world.seen.shelves.filter(({ bucket }) => bucket === 'models')
    Object.assign(models as object, { state: 'unseen', files: [], texts: {}, problem: 'no such bucket' })
    expect(claimsOf(world)).toEqual({ claims: ['unreachable r2'], ok: false })
  })
})

const plain: Shape = {
  now: new Date('2026-11-24T10:00:00Z'),
  copies: 3,
  unchangedDays: 10,
  minutesAgo: 20,
  hetzner: false,
}

describe('while Verda is off on purpose', () => {
  const off = (answers: boolean) => {
    const world = healthyWorld({ ...plain, minutesAgo: 60 * 40, unchangedDays: 0 })
    world.seen.verdaOff = { since: new Date('2026-11-23T00:00:00Z'), answers }
    const sfs = world.seen.shelves.find(({ store }) => store === 'sfs')
    Object.assign(sfs as object, {
      state: 'remembered',
      at: new Date('2026-11-22T19:00:00Z'),
      problem: 'verda cannot be reached',
    })
    return world
  }

  test('only what others than Verda should do raises an alarm', () => {
    expect(claimsOf(off(false)).claims).toEqual(['overdue r2 user-data', 'overdue r2 user-outputs'])
    expect(assess(off(false).seen).quiet.map(({ trouble, store }) => `${trouble} ${store}`)).toEqual([
      'unreachable sfs',
      'overdue r2',
    ])
  })

  test('what is damaged raises one all the same', () => {
    const world = off(false)
    const place = world.places.find(({ expected }) => expected.store === 'r2') as Place
    for (const key of place.keys) for (const name of [key, recordName(key)]) removeFile(place, name)
    expect(claimsOf(world).claims).toContain('missing r2 tailscale')
  })

  test('as soon as it answers, everything does', () => {
    expect(claimsOf(off(true)).claims).toContain('overdue r2 tailscale')
  })
})

test('a run that says unchanged does not make a damaged archive fresh', () => {
  const world = healthyWorld({ ...plain, unchangedDays: 0 })
  const place = world.places.find(({ expected }) => expected.store === 'r2') as Place
  const file = place.shelf.files.find(({ key }) => key === place.keys[0])
  if (file) file.bytes = 0
  const cell = assess(world.seen).cells.find(({ item, store }) => item === 'tailscale' && store === 'r2')
  expect([cell?.state, cell?.newest?.key]).toEqual(['overdue', place.keys[1]])
})

test('what is not on its host, and need not be, is neither missing nor overdue', () => {
  const world = healthyWorld(plain)
  const nginx = world.places.filter(({ expected }) => expected.item.name === 'nginx')
  for (const place of nginx) {
    for (const key of place.keys) for (const name of [key, recordName(key)]) removeFile(place, name)
    unmention(world, place, () => undefined)
  }
  for (const { texts } of world.seen.shelves) {
    for (const [key, text] of Object.entries(texts)) {
      if (!key.startsWith('runs/')) continue
      const report = JSON.parse(text)
      report.items.push({ item: 'nginx', status: 'skipped', absent: true, reason: 'not there', stores: {} })
      texts[key] = JSON.stringify(report)
    }
  }
  expect(claimsOf(world)).toEqual({ claims: [], ok: true })
})

test('an archive of the last hour without a record may still be read back, and is no alarm yet', () => {
  const world = healthyWorld({ ...plain, unchangedDays: 0 })
  const place = world.places.find(({ expected }) => expected.store === 'r2') as Place
  const key = putCopy(place, new Date(plain.now.getTime() - 2 * day))
  removeFile(place, recordName(key))
  const file = place.shelf.files.filter((one) => one.key === key).at(-1)
  if (file) file.modified = new Date(plain.now.getTime() - 0.5 * hour)
  const before = claimsOf(world)
  expect(before.ok).toBe(true)
  expect(unchanged(place)).toBeDefined()
})

test('a model without a record is told, and is no alarm', () => {
  const world = healthyWorld({ ...plain, unchangedDays: 0 })
  const [models] = world.seen.shelves.filter(({ bucket }) => bucket === 'models')
  models?.files.push({ key: 'vae/by-hand.safetensors', bytes: 9, modified: plain.now })
  const { findings, ok } = assess(world.seen)
  const [found, ...others] = findings.filter(({ trouble }) => trouble === 'no record')
  expect([found?.status, others]).toEqual(['warning', []])
  expect(found?.what).toContain('1 model without a record: vae/by-hand.safetensors')
  expect(ok).toBe(true)
})

test('a damaged archive in a bucket raises the alarm until something newer is good, in a folder until it is moved away', () => {
  const alarms = (store: string, which: number) => {
    const world = healthyWorld({ ...plain, unchangedDays: 0 })
    const place = world.places.find(({ expected }) => expected.store === store) as Place
    const key = place.keys.at(which)
    for (const file of place.shelf.files) if (file.key === key) file.bytes = 0
    const broken = assess(world.seen).findings.filter(({ trouble }) => trouble === 'broken')
    expect(broken.map(({ what }) => what.startsWith(String(key)))).toEqual([true])
    return broken[0]?.status
  }
  expect([alarms('r2', 0), alarms('r2', -1)]).toEqual(['wrong', 'warning'])
  expect([alarms('mello', 0), alarms('mello', -1)]).toEqual(['wrong', 'wrong'])
})
