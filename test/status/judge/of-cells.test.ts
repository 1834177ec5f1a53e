import { describe, expect, test } from 'vitest'
import type { Copy, KnownCopy } from '../../../lib/copies.ts'
import type { StoreName } from '../../../lib/inventory.ts'
import type { Stamp } from '../../../lib/naming.ts'
import type { Flaws } from '../../../lib/status/judge/archives-cell.ts'
import type { Cell } from '../../../lib/status/judge/cell.ts'
import { expectedOf } from '../../../lib/status/judge/expected.ts'
import type { ModelFlaws } from '../../../lib/status/judge/models-cell.ts'
import { type Assessed, cellFindings } from '../../../lib/status/judge/of-cells.ts'

const now = new Date('2026-11-24T10:00:00Z')
const expected = expectedOf('production', ['sfs', 'mello', 'r2', 'hetzner'])

/** An item in a store, fresh and without a flaw but for what is given. */
function assessed(
  store: StoreName,
  name: string,
  cell: Partial<Cell> = {},
  flaws?: Partial<Flaws>,
  modelFlaws?: Partial<ModelFlaws>,
): Assessed {
  const one = expected.find((each) => each.store === store && each.item.name === name)
  if (one === undefined) throw new Error(`${name} does not belong on ${store}`)
  return {
    expected: one,
    cell: {
      item: name,
      title: one.item.title,
      store,
      state: 'fresh',
      asOf: now,
      copies: 0,
      contents: 0,
      bytes: 0,
      history: [],
      ...(one.hours && { hours: one.hours }),
      ...cell,
    },
    ...(flaws && {
      flaws: {
        broken: [],
        rotten: [],
        cutOff: [],
        unreadable: [],
        noArchive: [],
        noRecord: [],
        refused: [],
        underWay: [],
        future: [],
        strange: [],
        early: [],
        ...flaws,
      },
    }),
    ...(modelFlaws && {
      modelFlaws: { lacking: [], broken: [], noArchive: [], noRecord: [], ...modelFlaws },
    }),
  }
}
const copy = (day: string, bytes = 10): Copy => ({
  key: `config/env-2026-11-${day}.tar.gz`,
  stamp: `2026-11-${day}` as Stamp,
  bytes,
  recordKey: `config/env-2026-11-${day}.tar.gz.sha256`,
})
const known = (day: string, time = `2026-11-${day}T05:00:00Z`): KnownCopy => ({
  ...copy(day),
  recordKey: `config/env-2026-11-${day}.tar.gz.sha256`,
  record: { archive: `env-2026-11-${day}.tar.gz`, sha256: 'a'.repeat(64), bytes: 12 },
  time: new Date(time),
  good: false,
})
const newest = (day: string): Partial<Cell> => ({
  copies: 1,
  newest: { key: `config/env-2026-11-${day}.tar.gz`, time: new Date(`2026-11-${day}T05:00:00Z`), bytes: 10 },
})
const found = (...some: Assessed[]) =>
  cellFindings(some).map(({ trouble, status, what, todo }) => [
    status === 'wrong' ? trouble.toUpperCase() : trouble,
    what,
    todo,
  ])
const cron = 'On Verda run: comfyume-backup backup-cron --only env'
const toMello = 'On Mello run: comfyume-backup backup-verda --only env --to mello'
const toR2 = 'On Mello run: comfyume-backup backup-verda --only env --to r2'
const models = 'On Mello run: comfyume-backup backup-verda --only models --to r2'

test('where nothing is wrong nothing is found', () => {
  expect(found(assessed('sfs', 'env', {}, {}), assessed('r2', 'models', {}, undefined, {}))).toEqual([])
  for (const state of ['by hand', 'absent', 'unknown'] as const)
    expect(found(assessed('sfs', 'env', { state }))).toEqual([])
})

describe('what is missing', () => {
  test('is told of all items of one store and command together', () => {
    const some = [
      assessed('sfs', 'env', { state: 'missing' }),
      assessed('sfs', 'ufw', { state: 'missing' }),
      assessed('mello', 'env', { state: 'missing' }),
    ]
    expect(found(...some)).toEqual([
      [
        'MISSING',
        'SFS cache has no good backup of env, ufw',
        'On Verda run: comfyume-backup backup-cron --only env,ufw',
      ],
      ['MISSING', 'Mello has no good backup of env', toMello],
    ])
    expect(cellFindings(some)[0]).toMatchObject({ store: 'sfs', items: ['env', 'ufw'] })
  })

  test('though something is there that is no good, or a record alone, says so', () => {
    const some = [
      assessed('sfs', 'env', { state: 'missing', copies: 1 }),
      assessed('sfs', 'ufw', { state: 'missing' }, {}),
      assessed('sfs', 'nginx', { state: 'missing' }, { noArchive: [] }),
    ]
    expect(found(...some)[0]?.[1]).toBe(
      'SFS cache has no good backup of env, ufw, nginx; what is there of env is not good, see below',
    )
    const alone = assessed('sfs', 'ufw', { state: 'missing' }, { noArchive: [copy('24')] })
    expect(found(alone)[0]?.[1]).toBe(
      'SFS cache has no good backup of ufw; what is there of ufw is not good, see below',
    )
  })

  test('though a report reports it there, was removed by somebody', () => {
    const gone = { gone: { key: 'config/env-2026-11-24.tar.gz', time: now } }
    const one = assessed('sfs', 'env', { state: 'missing' }, gone)
    expect(found(one)).toEqual([
      [
        'MISSING',
        'SFS cache has no good backup of env; the report of a run says that there is one',
        `Find out who removed it. ${cron}`,
      ],
    ])
    expect(found(one, assessed('sfs', 'ufw', { state: 'missing' }))[0]?.[1]).toBe(
      'SFS cache has no good backup of env, ufw; the report of a run says that there is one of env',
    )
  })

  test('of its newest alone, is told with the run that said otherwise', () => {
    const gone = { gone: { key: 'config/env-2026-11-24.tar.gz', time: new Date('2026-11-24T09:05:00Z') } }
    expect(found(assessed('sfs', 'env', {}, gone))).toEqual([
      [
        'MISSING',
        'config/env-2026-11-24.tar.gz is gone from SFS cache, though the run of 2026-11-24 09:05 reports it there',
        `Find out who removed it. ${cron}`,
      ],
    ])
  })
})

describe('what is overdue', () => {
  const late = (store: StoreName, name: string, hour: string) =>
    assessed(store, name, { state: 'overdue', freshAt: new Date(`2026-11-23T${hour}:30:00Z`) })

  test('is told with the oldest of those that are, and where to look', () => {
    expect(found(late('sfs', 'env', '07'), late('sfs', 'ufw', '05'), late('sfs', 'nginx', '06'))).toEqual([
      [
        'OVERDUE',
        'env, ufw, nginx on SFS cache: last known good 2026-11-23 05:30, 28 h ago, where there should be a run of backup-cron every hour; overdue after 2 h',
        'Find out why backup-cron does not run or does not finish: on Verda, crontab -l and tail /var/log/comfyume-backup.log. On Verda run: comfyume-backup backup-cron --only env,ufw,nginx',
      ],
    ])
    expect(cellFindings([late('sfs', 'env', '07')])[0]).toMatchObject({ store: 'sfs', items: ['env'] })
  })

  test('on an object store is for Mello to mend', () => {
    const [, what, todo] = found(late('r2', 'env', '05'))[0] as string[]
    expect(what).toMatch(
      /^env on .*: last known good 2026-11-23 05:30, 28 h ago, where there should be a run of backup-verda at 2, 6, 14, 18 h; overdue after 16 h$/,
    )
    expect(todo).toBe(
      `Find out why backup-verda does not run or does not finish: on Mello, crontab -l and tail ~/comfyume-backup.log. ${toR2}`,
    )
  })
})

describe('single copies', () => {
  test('that are broken or whose record cannot be read are no backup', () => {
    expect(
      found(assessed('sfs', 'env', newest('24'), { broken: [known('23')], unreadable: [copy('22')] })),
    ).toEqual([
      [
        'BROKEN',
        'config/env-2026-11-23.tar.gz on SFS cache has 10 bytes, its record says 12 bytes: it is not a backup',
        `Move it away together with its .sha256. ${cron}`,
      ],
      [
        'BROKEN',
        'config/env-2026-11-22.tar.gz on SFS cache has a record that cannot be read: it is not a backup',
        `Move it away together with its .sha256. ${cron}`,
      ],
    ])
  })

  test('of which only the record is there were removed by somebody', () => {
    expect(found(assessed('mello', 'env', newest('24'), { noArchive: [copy('23')] }))).toEqual([
      [
        'NO ARCHIVE',
        'config/env-2026-11-23.tar.gz on Mello is gone, only its record is there',
        `Find out who removed it; then move config/env-2026-11-23.tar.gz.sha256 away. ${toMello}`,
      ],
    ])
  })

  test('in a bucket stay as they are, and are an alarm while nothing newer is good', () => {
    const flaws = { broken: [known('23')], noArchive: [copy('22')] }
    const words = found(assessed('r2', 'env', newest('24'), flaws))
    expect(words.map(([trouble]) => trouble)).toEqual(['broken', 'no archive'])
    expect(words[0]?.[2]).toBe(`It stays as it is, and is ignored. ${toR2}`)
    expect(words[1]?.[2]).toBe(`Find out who removed it: this toolkit never does. ${toR2}`)
    const troubles = (cell: Partial<Cell>) =>
      found(assessed('r2', 'env', cell, flaws)).map(([trouble]) => trouble)
    expect(troubles({})).toEqual(['BROKEN', 'NO ARCHIVE'])
    expect(troubles(newest('22'))).toEqual(['BROKEN', 'no archive'])
    expect(troubles(newest('23'))).toEqual(['broken', 'no archive'])
  })

  test('without a record make no backup; those of this hour may still be read', () => {
    const flaws = { noRecord: ['20', '21', '22', '23'].map((day) => copy(day)), underWay: [copy('24')] }
    expect(found(assessed('sfs', 'env', {}, flaws))).toEqual([
      [
        'NO RECORD',
        'SFS cache has 4 archives of env without a record, so they are not backups: config/env-2026-11-20.tar.gz, config/env-2026-11-21.tar.gz and 2 more',
        'On Verda run: comfyume-backup verify --adopt --store sfs --only env. It reads them whole, and writes the records of those that are backups',
      ],
      [
        'no record',
        'SFS cache has 1 archive of env without a record, so it is not a backup: config/env-2026-11-24.tar.gz',
        'Their run may still be reading them back: look again in an hour',
      ],
    ])
  })

  test('from the future count for nothing', () => {
    const [one, two] = [
      assessed('sfs', 'env', {}, { future: [copy('25')] }),
      assessed('r2', 'env', {}, { future: [copy('25'), copy('26')] }),
    ]
    expect(found(one)).toEqual([
      [
        'FUTURE',
        'config/env-2026-11-25.tar.gz on SFS cache is dated in the future: a clock was wrong, and they are ignored',
        'Set the clocks of Verda and Mello (timedatectl set-ntp true), then move it away together with its .sha256',
      ],
    ])
    expect(found(two)[0]?.[1]).toMatch(
      /^config\/env-2026-11-25.tar.gz, config\/env-2026-11-26.tar.gz on .* are dated in the future/,
    )
    expect(found(two)[0]?.[2]).toBe(
      'Set the clocks of Verda and Mello (timedatectl set-ntp true); they stay, and are ignored until their time has come',
    )
  })

  test('whose record tells another time than their name come of a wrong clock', () => {
    const flaws = { strange: [known('23', '2026-01-02T03:04:00Z')] }
    const words = found(assessed('sfs', 'env', newest('24'), flaws))
    expect(words).toEqual([
      [
        'CLOCK',
        'the record of config/env-2026-11-23.tar.gz on SFS cache is from 2026-01-02 03:04, which is not the time in its name',
        expect.stringMatching(
          /^A clock was wrong, or someone renamed it: rotation skips it\. Check that timedatectl/,
        ),
      ],
    ])
    const troubles = (cell: Partial<Cell>) =>
      found(assessed('r2', 'env', cell, flaws)).map(([trouble]) => trouble)
    expect([troubles(newest('24')), troubles({})]).toEqual([['clock'], ['CLOCK']])
  })

  test('are each told of their own store and item', () => {
    const flaws = {
      broken: [known('23')],
      noArchive: [copy('23')],
      noRecord: [copy('23')],
      underWay: [copy('23')],
      future: [copy('23')],
      strange: [known('23')],
      gone: { key: 'k', time: now },
    }
    for (const finding of cellFindings([assessed('mello', 'env', {}, flaws)]))
      expect(finding).toMatchObject({ store: 'mello', items: ['env'] })
  })
})

describe('models', () => {
  const of = (flaws: Partial<ModelFlaws>, cell: Partial<Cell> = {}) =>
    assessed('r2', 'models', cell, undefined, flaws)
  const title = 'R2'

  test('that live and are not there are named', () => {
    const [words] = found(of({ lacking: ['loras/a', 'vae/b'] }))
    expect(words).toEqual([
      'MISSING',
      expect.stringMatching(/ lacks 2 of the models: loras\/a, vae\/b$/),
      models,
    ])
    expect(words?.[1]).toContain(title)
    // All of them are told by the item that is missing.
    expect(found(of({ lacking: ['loras/a'] }, { state: 'missing' }))).toHaveLength(1)
  })

  test('that are broken, gone or without a record', () => {
    const words = found(
      of({
        broken: [{ key: 'loras/a', why: 'has 1 byte' }],
        noArchive: ['vae/b'],
        noRecord: ['vae/c', 'vae/d'],
      }),
    )
    expect(words).toEqual([
      [
        'BROKEN',
        expect.stringMatching(/^loras\/a on .*: has 1 byte$/),
        `It stays as it is, and is ignored. ${models}`,
      ],
      [
        'NO ARCHIVE',
        expect.stringMatching(/^vae\/b on .*: gone, only the record is there$/),
        `Find out who removed it: this toolkit never does. ${models}`,
      ],
      [
        'no record',
        expect.stringMatching(/ has 2 models without a record: vae\/c, vae\/d$/),
        'Unless a run is storing them right now, a restore can only compare their size. A model that is stored again, under a name of its own, has a record',
      ],
    ])
    for (const finding of cellFindings([of({ noRecord: ['vae/c'] })]))
      expect(finding).toMatchObject({
        store: 'r2',
        items: ['models'],
        what: expect.stringContaining('1 model without'),
      })
  })
})
