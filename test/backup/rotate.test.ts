import { createHash } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RotationRefused, rotate } from '../../lib/backup/rotate.ts'
import { listCopies } from '../../lib/copies.ts'
import type { KeepRule } from '../../lib/retention.ts'
import { rotatingDirectoryStore } from '../../lib/stores/directory/rotating.ts'
import { type RotatingStore, StoreError } from '../../lib/stores/store.ts'

const now = new Date('2026-11-24T10:00:00Z')
const daily5 = { daily: 5, weekly: 3, monthly: 3 }
let root: string
let store: RotatingStore
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'rotation-'))
  mkdirSync(path.join(root, 'config'))
  store = rotatingDirectoryStore({ name: 'sfs', root })
})
afterEach(() => rmSync(root, { recursive: true }))

const put = (name: string, content: string) => writeFileSync(path.join(root, 'config', name), content)
/** As `verify --adopt` leaves one. */
const adopted = (stamp: string, time?: string) =>
  backup(stamp, time, 'env', '# adopted: 2026-11-24T09:00:00.000Z\n')
function backup(stamp: string, time = `${stamp}T05:00:00Z`, item = 'env', comment = '') {
  const name = `${item}-${stamp}.tar.gz`
  put(name, stamp)
  const sha256 = createHash('sha256').update(stamp).digest('hex')
  put(`${name}.sha256`, `# time: ${time}\n# bytes: ${stamp.length}\n${comment}${sha256}  ${name}\n`)
}
const names = () => readdirSync(path.join(root, 'config')).sort()
const archives = () => names().filter((name) => name.endsWith('.tar.gz'))
/** The files are as old as this test: when the store took them says nothing here. */
const turn = async (rule: KeepRule = daily5, at = now) => {
  const copies = await listCopies(store, 'config/', 'env')
  return rotate(
    store,
    copies.map(({ recordTaken: _, ...copy }) => copy),
    rule,
    at,
  )
}
const days = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, n) => `2026-11-${String(from + n).padStart(2, '0')}`)

test('what the rule does not keep is removed with its record, newest first, with the reasons', async () => {
  for (const day of days(10, 24)) backup(day)
  const { removed, warnings } = await turn({ daily: 3 })
  expect(archives()).toEqual(['env-2026-11-22.tar.gz', 'env-2026-11-23.tar.gz', 'env-2026-11-24.tar.gz'])
  expect(names()).toHaveLength(6)
  expect(removed.map(({ key }) => key)).toEqual(
    days(10, 21)
      .reverse()
      .map((day) => `config/env-${day}.tar.gz`),
  )
  expect(removed[0]?.reasons).toEqual([
    'not among 3 daily',
    'kept: 2026-11-24 (newest, daily), 2026-11-23 (daily), 2026-11-22 (daily)',
  ])
  expect(warnings).toEqual([])
})

test('a second rotation removes nothing', async () => {
  for (const day of days(1, 24)) backup(day)
  await turn()
  const left = names()
  expect(await turn()).toEqual({ removed: [], warnings: [] })
  expect(names()).toEqual(left)
})

describe('law 4: rotation never removes', () => {
  test('the newest good copy, even when every rule is zero', async () => {
    for (const day of days(20, 24)) backup(day)
    await turn({})
    expect(archives()).toEqual(['env-2026-11-24.tar.gz'])
  })

  test('files without a record, foreign files, other items', async () => {
    for (const day of days(1, 24)) backup(day)
    for (const day of days(1, 9)) backup(day, undefined, 'env-extra')
    const foreign = [
      'env-2020-01-01.tar.gz',
      'env-2020-01-02.tar.gz.part',
      'env-latest.tar.gz',
      'env-2020-13-01.tar.gz',
      'env.tar.gz',
      'notes.txt',
      'env-2020-01-03.tar.gz.sha256.bak',
    ]
    for (const name of foreign) put(name, 'foreign')
    put('env-2020-01-05.tar.gz', 'the record is torn')
    put('env-2020-01-05.tar.gz.sha256', '# item: env\n')
    await turn({ daily: 1 })
    const kept = names()
    for (const name of [...foreign, 'env-2020-01-05.tar.gz', 'env-2020-01-05.tar.gz.sha256'])
      expect(kept).toContain(name)
    expect(kept.filter((name) => name.startsWith('env-extra-'))).toHaveLength(18)
    expect(kept.filter((name) => name.startsWith('env-2026'))).toHaveLength(2)
  })

  test('anything, while a copy that must stay has another size than its record', async () => {
    for (const day of days(10, 24)) backup(day)
    truncateSync(path.join(root, 'config/env-2026-11-23.tar.gz'), 4)
    const before = names()
    await expect(turn()).rejects.toThrow(RotationRefused)
    await expect(turn()).rejects.toThrow(
      'config/env-2026-11-23.tar.gz has 4 bytes, its record says 10 bytes. Look at it and move it away together with its .sha256',
    )
    expect(names()).toEqual(before)
  })

  test('anything, while the archive of a copy that must stay is gone', async () => {
    for (const day of days(10, 24)) backup(day)
    rmSync(path.join(root, 'config/env-2026-11-22.tar.gz'))
    const before = names()
    await expect(turn()).rejects.toThrow('env-2026-11-22.tar.gz is gone, only its record is there')
    expect(names()).toEqual(before)
  })

  test('an increment, and what it builds on, which no backup writes there; it takes no room of others', async () => {
    for (const day of days(1, 24)) backup(day)
    for (const [stamp, base, link] of [
      ['2026-11-03', '2026-11-02', 1],
      ['2026-11-04', '2026-11-03', 2],
    ] as const) {
      const name = (day: string) => `env-${day}.tar.gz`
      const lines = readFileSync(path.join(root, 'config', `${name(stamp)}.sha256`), 'utf8')
      const increment = `# whole: ${name('2026-11-02')}\n# link: ${link}\n# deleted: 0\n`
      put(`${name(stamp)}.sha256`, `${increment}${lines}${'b'.repeat(64)}  ${name(base)}\n`)
    }
    const { warnings } = await turn({ daily: 3 })
    expect(archives()).toEqual(['02', '03', '04', '22', '23', '24'].map((day) => `env-2026-11-${day}.tar.gz`))
    expect(warnings).toEqual(
      [4, 3].map((day) => expect.stringMatching(`env-2026-11-0${day}.tar.gz is an increment`)),
    )
  })

  test('what is from the future; it pushes nothing out and is told', async () => {
    for (const day of days(22, 24)) backup(day)
    for (const year of [2027, 2028, 2029, 2030]) backup(`${year}-01-01`)
    backup('2026-11-24-12', '2026-11-24T12:00:00Z')
    const { removed, warnings } = await turn({ daily: 3 })
    expect(removed).toEqual([])
    expect(warnings).toHaveLength(5)
    for (const warning of warnings)
      expect(warning).toMatch(/is dated in the future, because a clock was wrong/)
  })

  test('what a clock that jumped back leaves in the future: nothing newer is lost', async () => {
    for (const day of days(1, 24)) backup(day)
    backup('2025-06-01')
    const { removed } = await turn(daily5, new Date('2025-06-01T06:00:00Z'))
    expect(removed).toEqual([])
    expect(archives()).toHaveLength(25)
  })

  test.each(['1970-01-01T00:00:00Z', '2026-11-25T00:00:00Z', '2150-01-01T00:00:00Z'])(
    'a copy whose record is from %s, not from the time in its name; it pushes nothing out',
    async (time) => {
      for (const day of days(20, 24)) backup(day)
      backup('2026-11-19', time)
      const { warnings } = await turn({ daily: 5 }, new Date('2026-11-25T10:00:00Z'))
      expect(archives()).toHaveLength(6)
      expect(warnings).toHaveLength(1)
      expect(warnings[0]).toContain('not from the time in its name')
    },
  )
})

test('a damaged copy that need not stay does not stand in the way', async () => {
  for (const day of days(10, 24)) backup(day)
  truncateSync(path.join(root, 'config/env-2026-11-12.tar.gz'), 4)
  await turn({ daily: 3 })
  expect(archives()).toHaveLength(3)
})

test('cut off anywhere, the next rotation removes the rest', async () => {
  for (let cut = 0; cut < 12; cut++) {
    for (const day of days(15, 24)) backup(day)
    let removals = 0
    const dying: RotatingStore = {
      ...store,
      async remove(key) {
        if (removals++ === cut) throw new StoreError('the share is gone')
        await store.remove(key)
      },
    }
    await expect(
      rotate(dying, await listCopies(store, 'config/', 'env'), { daily: 3 }, now),
    ).rejects.toThrow()
    expect(archives()).toContain('env-2026-11-24.tar.gz')
    await turn({ daily: 3 })
    expect(names(), `cut at removal ${cut}`).toHaveLength(6)
  }
})

test('the times of the files themselves mean nothing', async () => {
  for (const day of days(20, 24)) backup(day)
  for (const name of names()) utimesSync(path.join(root, 'config', name), 0, 0)
  await turn({ daily: 2 })
  expect(archives()).toEqual(['env-2026-11-23.tar.gz', 'env-2026-11-24.tar.gz'])
  expect(statSync(path.join(root, 'config/env-2026-11-24.tar.gz')).mtimeMs).toBe(0)
})

test('whatever lies there, every record that is left has its archive, and the newest good copy stays', async () => {
  const stamp = fc
    .date({ min: new Date('2026-09-01'), max: new Date('2026-12-10'), noInvalidDate: true })
    .map((date) => date.toISOString().slice(0, 10))
  const rule = fc.record({ daily: fc.nat(6), weekly: fc.nat(4), monthly: fc.nat(4) })
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(stamp, { maxLength: 30 }), rule, async (stamps, keep) => {
      for (const name of names()) rmSync(path.join(root, 'config', name))
      for (const each of stamps) backup(each)
      await turn(keep)
      const left = archives()
      expect(names()).toEqual(left.flatMap((name) => [name, `${name}.sha256`]).sort())
      const past = stamps.filter((each) => each <= '2026-11-24').sort()
      if (past.length > 0) expect(left).toContain(`env-${past.at(-1)}.tar.gz`)
      for (const future of stamps.filter((each) => each > '2026-11-24'))
        expect(left).toContain(`env-${future}.tar.gz`)
    }),
    { numRuns: 40 },
  )
})

describe('adopted archives', () => {
  test('push no copy out that a backup made, however many and however new they are', async () => {
    for (const day of days(10, 14)) backup(day)
    for (const day of days(15, 24)) adopted(day)
    adopted('2026-11-14-23', '2026-11-14T23:30:00Z')
    await turn({ daily: 5 })
    const made = days(10, 14).map((day) => `env-${day}.tar.gz`)
    const kept = days(20, 24).map((day) => `env-${day}.tar.gz`)
    expect(archives()).toEqual([...made, ...kept])
  })

  test('are rotated away themselves as soon as backups fill the rule, with their records', async () => {
    for (const day of days(10, 14)) adopted(day)
    for (const day of days(20, 24)) backup(day)
    const { removed } = await turn({ daily: 5 })
    expect(removed.map(({ key }) => key)).toEqual(
      days(10, 14)
        .reverse()
        .map((day) => `config/env-${day}.tar.gz`),
    )
    expect(names()).toHaveLength(10)
  })

  test('alone they are kept by the rule as any others', async () => {
    for (const day of days(10, 24)) adopted(day)
    await turn({ daily: 2 })
    expect(archives()).toEqual(['env-2026-11-23.tar.gz', 'env-2026-11-24.tar.gz'])
  })

  test('beside them what backups made is rotated, kept and told as ever', async () => {
    for (const day of days(10, 14)) backup(day)
    adopted('2026-11-20')
    const { removed } = await turn({ daily: 2 })
    expect(archives()).toEqual(['env-2026-11-13.tar.gz', 'env-2026-11-14.tar.gz', 'env-2026-11-20.tar.gz'])
    expect(removed.map(({ key }) => key)).toEqual(
      ['12', '11', '10'].map((day) => `config/env-2026-11-${day}.tar.gz`),
    )
    expect(removed[0]?.reasons[1]).toBe(
      'kept: 2026-11-14 (newest, daily), 2026-11-13 (daily), 2026-11-20 (newest, daily)',
    )
  })

  test('beside them a damaged copy that must stay stops everything, whichever of the two it is', async () => {
    for (const day of days(10, 14)) backup(day)
    adopted('2026-11-20')
    for (const day of ['14', '20']) {
      truncateSync(path.join(root, `config/env-2026-11-${day}.tar.gz`), 4)
      await expect(turn({ daily: 2 })).rejects.toThrow(`config/env-2026-11-${day}.tar.gz has 4 bytes`)
    }
    await expect(turn({ daily: 2 })).rejects.toThrow(
      'its record says 10 bytes, config/env-2026-11-20.tar.gz has 4',
    )
    await expect(turn({ daily: 2 })).rejects.toMatchObject({ name: 'RotationRefused' })
    expect(archives()).toHaveLength(6)
  })
})

test('all parts of a rule are told', async () => {
  for (const day of days(20, 24)) backup(day)
  const { removed } = await turn({ daily: 2, weekly: 1, monthly: 1 })
  expect(removed[0]?.reasons[0]).toBe('not among 2 daily, 1 weekly, 1 monthly')
})

describe('a machine whose clock is ahead of that of the share', () => {
  /** A backup whose record the share took at a time of its own. */
  const taken = (stamp: string, time: string, at: string) => {
    backup(stamp, time)
    const file = path.join(root, 'config', `env-${stamp}.tar.gz.sha256`)
    utimesSync(file, new Date(at), new Date(at))
  }
  const turnNow = async (rule: KeepRule, at: string) =>
    rotate(store, await listCopies(store, 'config/', 'env'), rule, new Date(at))

  test('removes nothing for the sake of what it has just written', async () => {
    taken('2026-11-24', '2026-11-24T03:35:00Z', '2026-11-24T03:36:00Z')
    taken('2026-12-11', '2026-12-11T08:35:00Z', '2026-11-25T03:36:00Z')
    const { removed, warnings } = await turnNow({ daily: 1, monthly: 1 }, '2026-12-11T08:35:00Z')
    expect(removed).toEqual([])
    expect(archives()).toHaveLength(2)
    expect(warnings).toEqual([expect.stringContaining('the clock of the machine that wrote it was ahead')])
  })

  test('goes on rotating what is dated rightly', async () => {
    for (const day of ['22', '23', '24'])
      taken(`2026-11-${day}`, `2026-11-${day}T03:35:00Z`, `2026-11-${day}T03:36:00Z`)
    taken('2026-12-11', '2026-12-11T08:35:00Z', '2026-11-25T03:36:00Z')
    await turnNow({ daily: 1 }, '2026-12-11T08:35:00Z')
    expect(archives()).toEqual(['env-2026-11-24.tar.gz', 'env-2026-12-11.tar.gz'])
  })

  test('by less than an hour is right enough, and a share that is a copy has younger files', async () => {
    taken('2026-11-23', '2026-11-23T03:35:00Z', '2027-05-01T00:00:00Z')
    taken('2026-11-24', '2026-11-24T03:35:00Z', '2026-11-24T02:45:00Z')
    await turnNow({ daily: 1 }, '2026-11-24T03:35:00Z')
    expect(archives()).toEqual(['env-2026-11-24.tar.gz'])
  })
})
