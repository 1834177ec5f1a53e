import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { StoreName } from '../../lib/inventory.ts'
import type { ArchiveRecord } from '../../lib/record.ts'
import { chainWorld } from './chain-world.ts'

const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0

let world: ReturnType<typeof chainWorld>
beforeEach(() => {
  world = chainWorld()
  // Large beside what changes, or the next one would be whole.
  world.put('large', world.noise(200_000))
  for (const name of ['a', 'deep/b', 'deep/er/c', 'd/x', 'd/y', 'link me']) world.put(name)
})
afterEach(() => world.dispose())

const stored = expect.objectContaining({ status: 'stored' })

describe('what changed', () => {
  test.each<[string, () => void, string[], string[]]>([
    ['content', () => world.put('a', 'other'), ['out', 'out/a'], []],
    [
      'content with the same size and mtime',
      () => {
        world.put('a', 'A')
        utimesSync(world.at('a'), 1, 1)
      },
      ['out', 'out/a'],
      [],
    ],
    ['a mode', () => chmodSync(world.at('deep/b'), 0o600), ['out', 'out/deep', 'out/deep/b'], []],
    ['the mode of a folder', () => chmodSync(world.at('deep'), 0o700), ['out', 'out/deep'], []],
    ['a time of a folder', () => utimesSync(world.at('deep'), 5, 5), ['out', 'out/deep'], []],
    ['a file more', () => world.put('d/new'), ['out', 'out/d', 'out/d/new'], []],
    ['a file less', () => rmSync(world.at('d/x')), ['out', 'out/d'], ['out/d/x']],
    [
      'a folder less',
      () => rmSync(world.at('deep'), { recursive: true }),
      ['out'],
      ['out/deep', 'out/deep/b', 'out/deep/er', 'out/deep/er/c'],
    ],
    [
      'the name of a folder',
      () => renameSync(world.at('d'), world.at('e')),
      ['out', 'out/e', 'out/e/x', 'out/e/y'],
      ['out/d', 'out/d/x', 'out/d/y'],
    ],
    [
      'a folder that became a file',
      () => {
        rmSync(world.at('d'), { recursive: true })
        world.put('d')
      },
      ['out', 'out/d'],
      ['out/d/x', 'out/d/y'],
    ],
    [
      'a file that became a folder',
      () => {
        rmSync(world.at('a'))
        world.put('a/b')
      },
      ['out', 'out/a', 'out/a/b'],
      [],
    ],
    [
      'a file that became a link, and a link to nowhere',
      () => {
        rmSync(world.at('a'))
        symlinkSync('d', world.at('a'))
        symlinkSync('no\nwhere', world.at('n'))
      },
      ['out', 'out/a', 'out/n'],
      [],
    ],
    [
      'a second name of a file',
      () => linkSync(world.at('link me'), world.at('deep/same')),
      ['out', 'out/deep', 'out/deep/same', 'out/link me'],
      [],
    ],
    [
      'an odd name',
      () => {
        world.put('odd/star*[a]?')
        world.put('odd/back\\slash')
        world.put('odd/-rf')
      },
      ['out', 'out/odd', 'out/odd/-rf', 'out/odd/back\\\\slash', 'out/odd/star*[a]?'],
      [],
    ],
  ])(
    '%s is all that the next archive holds, and by hand the item comes back as it is',
    async (_, change, members, gone) => {
      expect(await world.backUp(0)).toEqual(stored)
      change()
      expect(await world.backUp(1)).toEqual(stored)
      const { archive, increment, sources } = world.newest()
      expect(world.members(archive).sort()).toEqual(members)
      const whole = world.records()[0]
      expect(increment).toEqual({
        base: { archive: whole?.archive, sha256: whole?.sha256 },
        whole: whole?.archive,
        link: 1,
        deleted: gone.length,
      })
      expect([...world.list(archive).matchAll(/^- (.*)$/gm)].map(([, name]) => name)).toEqual(gone)
      expect(sources?.[0]?.bytes, 'of the item').toBeGreaterThan(200_000)
      world.expectRestorable()
      expect(await world.backUp(2)).toMatchObject({ status: 'unchanged', key: archive })
    },
  )

  test('over many hours, and back again, comes back as it is after each', async () => {
    await world.backUp(0)
    const changes = [
      () => world.put('new/one'),
      () => rmSync(world.at('new'), { recursive: true }),
      () => world.put('new', 'a file now'),
      () => {
        rmSync(world.at('new'))
        world.put('new/one', 'again')
      },
      () => linkSync(world.at('new/one'), world.at('one')),
      () => rmSync(world.at('new/one')),
      () => renameSync(world.at('deep'), world.at('d/deep')),
      () => {
        rmSync(world.at('d'), { recursive: true })
        symlinkSync('/etc', world.at('d'))
      },
      () => {
        rmSync(world.at('d'))
        world.put('d/passwd')
      },
    ]
    for (const [index, change] of changes.entries()) {
      change()
      expect(await world.backUp(index + 1)).toEqual(stored)
      expect(world.newest().increment?.link).toBe(index + 1)
      world.expectRestorable()
    }
  })

  test('comes back whatever its bytes, and what is gone is told whatever its bytes', async () => {
    const raw = (text: string) =>
      Buffer.concat([Buffer.from(`${world.source}/d/`), Buffer.from(text, 'latin1')])
    const names = ['new\nline', '\xff\xfe', ' lead', 'trail ', 'tab\t', '\\', '%s', '- x', '*']
    for (const name of names) writeFileSync(raw(name), name)
    await world.backUp(0)
    for (const name of names) rmSync(raw(name))
    world.put('d/z')
    await world.backUp(1)
    expect(world.newest().increment?.deleted).toBe(names.length)
    world.expectRestorable()
    for (const name of names) writeFileSync(raw(name), `${name} anew`)
    await world.backUp(2)
    expect(world.newest().increment?.link).toBe(2)
    world.expectRestorable()
  })
})

describe('the next one is whole', () => {
  const isWhole = () => expect(world.newest().increment).toBeUndefined()
  const file = (name: string) => path.join(world.storeFolder('r2'), name)
  const listOf = (index: number) =>
    file(String(world.records()[index]?.archive).replace('.tar.gz', '.list.gz'))
  beforeEach(async () => {
    await world.backUp(0)
    world.put('a', 'first change')
    await world.backUp(1)
    expect(world.newest().increment?.link).toBe(1)
    world.put('a', 'second change')
  })

  test.each<[string, () => void]>([
    ['gone', () => rmSync(listOf(1))],
    ['cut off', () => writeFileSync(listOf(1), readFileSync(listOf(1)).subarray(0, -9))],
    ['forged', () => writeFileSync(listOf(1), readFileSync(listOf(0)))],
    ['empty', () => writeFileSync(listOf(1), '')],
  ])('or builds on the one before when the list is %s', async (_, damage) => {
    const lost = world.newest().archive
    damage()
    expect(await world.backUp(2)).toEqual(stored)
    const { archive, increment } = world.newest()
    expect(increment?.base.archive ?? 'whole').not.toBe(lost)
    expect(world.members(archive)).toContain('out/a')
    world.expectRestorable()
  })

  test('when no list is left', async () => {
    for (const index of [0, 1]) rmSync(listOf(index))
    expect(await world.backUp(2)).toEqual(stored)
    isWhole()
    world.expectRestorable()
  })

  test('when an archive of its chain is gone, lost its record, or has another size', async () => {
    const [whole] = world.records()
    const content = readFileSync(file(whole?.archive as string))
    rmSync(file(whole?.archive as string))
    await world.backUp(2)
    isWhole()
    writeFileSync(file(whole?.archive as string), content)
    // The one before is the newest again, with all its chain.
    for (const name of [world.newest().archive, `${world.newest().archive}.sha256`]) rmSync(file(name))
    await world.backUp(3)
    expect(world.newest().increment?.link).toBe(2)
    world.put('a', 'third change')
    rmSync(file(`${whole?.archive}.sha256`))
    await world.backUp(4)
    isWhole()
  })

  test('when verify found an archive of its chain broken', async () => {
    await world.backUp(2, { broken: [world.records()[0]?.archive as string] })
    isWhole()
  })

  test('not when the one that verify found broken is none of its chain: then it builds on the last good one', async () => {
    await world.backUp(2, { broken: [world.records()[1]?.archive as string] })
    expect(world.newest().increment).toMatchObject({
      link: 1,
      base: { archive: world.records()[0]?.archive },
    })
    expect(world.members(world.newest().archive)).toEqual(['out', 'out/a'])
  })

  test('after a week, and with another one an hour before that', async () => {
    await world.backUp(7 * 24 - 11)
    expect(world.newest().increment?.link).toBe(2)
    world.put('a', 'third change')
    await world.backUp(7 * 24)
    isWhole()
    world.expectRestorable()
  })

  test('when the most of it changed', async () => {
    world.put('large', world.noise(200_000))
    await world.backUp(2)
    isWhole()
  })

  test('when what is new packs less well than what was there', async () => {
    world.put('zeros', Buffer.alloc(3_000_000))
    await world.backUp(24 * 8)
    isWhole()
    // On its disk much less than half; in the archive more.
    world.put('noise', world.noise(150_000))
    expect(await world.backUp(24 * 8 + 1)).toEqual(stored)
    isWhole()
    world.expectRestorable()
  })

  test('when increments have come to the size of the whole one', async () => {
    let hour = 2
    for (; hour < 8; hour++) {
      world.put(`noise${hour}`, world.noise(60_000))
      await world.backUp(hour)
    }
    expect(world.records().map(({ increment }) => increment?.link ?? 0)).toEqual([0, 1, 2, 3, 4, 5, 0, 1])
  })

  test('on SFS, always, and beside that the others go on', async () => {
    await world.backUp(2, { to: ['sfs', 'r2'] })
    expect(world.newest('sfs')).toMatchObject({ archive: 'user-outputs-2026-11-02.tar.gz' })
    expect(world.newest('sfs').list).toBeUndefined()
    expect(world.members(world.newest('sfs').archive, 'sfs')).toContain('out/large')
    expect(world.newest().increment?.link).toBe(2)
  })
})

describe('several stores', () => {
  test('with the same base take the same archive; one that is new, or behind, one of its own', async () => {
    await world.backUp(0, { to: ['mello', 'r2'] })
    world.put('a', 'only in R2')
    await world.backUp(1)
    world.put('d/x', 'in all')
    await world.backUp(2, { to: ['mello', 'r2', 'hetzner'] })
    const [mello, r2, hetzner] = (['mello', 'r2', 'hetzner'] as const).map((store) => world.newest(store))
    expect([mello, r2, hetzner].map((one) => one?.increment?.link)).toEqual([1, 2, undefined])
    for (const store of ['mello', 'r2', 'hetzner'] as const) world.expectRestorable(store)
    world.put('d/x', 'again')
    await world.backUp(3, { to: ['mello', 'r2', 'hetzner'] })
    world.put('d/x', 'and again')
    // Of the same archive, one list is enough.
    rmSync(
      path.join(world.storeFolder('mello'), world.newest('mello').archive.replace('.tar.gz', '.list.gz')),
    )
    await world.backUp(4, { to: ['mello', 'r2'] })
    expect(world.newest('mello').increment?.link).not.toBe(3)
    for (const store of ['mello', 'r2'] as const) world.expectRestorable(store)
  })

  test('that have the same archive under other names go on with chains of their own', async () => {
    // An archive that is not ours has the name of the hour.
    mkdirSync(world.storeFolder('hetzner'))
    writeFileSync(path.join(world.storeFolder('hetzner'), 'user-outputs-2026-11-02-10.tar.gz'), 'another')
    const to: StoreName[] = ['r2', 'hetzner']
    await world.backUp(0, { to })
    const [one, other] = to.map((store) => world.newest(store)) as [ArchiveRecord, ArchiveRecord]
    expect([one.sha256 === other.sha256, one.archive === other.archive]).toEqual([true, false])
    world.put('new')
    await world.backUp(1, { to })
    for (const store of to) {
      expect(world.newest(store).increment?.link, store).toBe(1)
      world.expectRestorable(store)
    }
  })

  test('whose newest archives are byte for byte alike, and build on different ones, go on with chains of their own', async () => {
    const to: StoreName[] = ['r2', 'mello']
    await world.backUp(0, { to })
    world.put('a', 'only in R2')
    await world.backUp(1)
    world.put('a', 'in both')
    await world.backUp(2, { to })
    expect(world.newest('mello')).toMatchObject({
      archive: world.newest().archive,
      sha256: world.newest().sha256,
    })
    world.put('d/x', 'again')
    await world.backUp(3, { to })
    expect(to.map((store) => world.newest(store).increment?.link)).toEqual([3, 2])
    for (const store of to) world.expectRestorable(store)
  })

  test('of the same archive need its list in one of them', async () => {
    await world.backUp(0, { to: ['mello', 'r2'] })
    rmSync(
      path.join(world.storeFolder('mello'), world.newest('mello').archive.replace('.tar.gz', '.list.gz')),
    )
    world.put('a', 'other')
    await world.backUp(1, { to: ['mello', 'r2'] })
    expect(world.newest('mello').sha256).toBe(world.newest('r2').sha256)
    expect(world.newest('mello').increment?.link).toBe(1)
  })
})

describe('the item is judged, not the increment', () => {
  test('one that shrank to less than half fails, and nothing is stored', async () => {
    await world.backUp(0)
    rmSync(world.at('large'))
    const before = world.records().length
    expect(await world.backUp(1)).toMatchObject({
      status: 'failed',
      error: expect.stringContaining('accept-shrink'),
    })
    expect(world.records().length).toBe(before)
    expect(await world.backUp(2, { accept: true })).toEqual(stored)
    world.expectRestorable()
  })

  test('a whole one after a small increment is none that shrank, nor one that grew', async () => {
    await world.backUp(0)
    world.put('a', 'other')
    await world.backUp(1)
    world.put('a', 'more')
    expect(await world.backUp(24 * 8)).toEqual(stored)
    expect(world.newest().increment).toBeUndefined()
  })
})

test.runIf(has('sqlite3'))(
  'a database that is written to is one with its log in each increment',
  async () => {
    const database = world.at('d/x.db')
    const open = spawn('sqlite3', [database], { stdio: ['pipe', 'pipe', 'ignore'] })
    onTestFinished(() => void open.kill('SIGKILL'))
    const answers = createInterface({ input: open.stdout })[Symbol.asyncIterator]()
    const say = async (line: string) => {
      open.stdin.write(`${line}\n.print done\n`)
      for (let answer = await answers.next(); answer.value !== 'done'; answer = await answers.next());
    }
    const rows = () =>
      execFileSync('sqlite3', [path.join(world.folder, 'back/out/d/x.db'), 'SELECT n FROM t']).toString()
    await say('PRAGMA journal_mode=WAL; CREATE TABLE t (n); INSERT INTO t VALUES (1);')
    await world.backUp(0)
    await say('INSERT INTO t VALUES (2);')
    expect(await world.backUp(1)).toEqual(stored)
    expect(world.members(world.newest().archive)).toEqual(['out', 'out/d', 'out/d/x.db'])
    expect(world.list(world.newest().archive)).toMatch(/^~ f .* out\/d\/x.db-wal$/m)
    world.unpack()
    expect(rows()).toBe('1\n2\n')
    world.put('a', 'of the database nothing')
    await world.backUp(2)
    expect(world.members(world.newest().archive)).toEqual(['out', 'out/a'])
    await say('INSERT INTO t VALUES (3);')
    open.stdin.end()
    await once(open, 'close')
    await world.backUp(3)
    expect(world.newest().increment?.link).toBe(3)
    world.expectRestorable()
    expect(rows()).toBe('1\n2\n3\n')
  },
)

test('law 14: a folder that becomes a link before it is read leads nowhere', async () => {
  const elsewhere = path.join(world.folder, 'elsewhere')
  mkdirSync(elsewhere)
  writeFileSync(path.join(elsewhere, 'x'), 'secret')
  renameSync(world.at('d'), world.at('away'))
  symlinkSync(elsewhere, world.at('d'))
  const { body } = world.capture().open(true, { chosen: ['out', 'out/d', 'out/d/x'] })
  const said = execFileSync('tar', ['-tz'], { input: await buffer(body) }).toString()
  expect(said.split('\n')).toEqual(['out/', 'out/d', ''])
})

describe('faults', () => {
  test('what becomes a folder, or none any more, between the list and the reading is read again', async () => {
    await world.backUp(0)
    world.put('d/x', 'changed')
    world.put('a', 'changed')
    let opened = 0
    await world.backUp(1, {
      captured: (capture) => ({
        ...capture,
        open(acceptChanges, options) {
          if (++opened === 1) {
            rmSync(world.at('a'))
            world.put('a/folder')
          } else if (opened === 2) {
            rmSync(world.at('d'), { recursive: true })
            symlinkSync('a', world.at('d'))
          }
          return capture.open(acceptChanges, options)
        },
      }),
    })
    expect(opened).toBe(3)
    expect(world.newest().increment?.link).toBe(1)
    world.expectRestorable()
  })

  test('an increment without a record is nothing: the next builds on the one before', async () => {
    await world.backUp(0)
    world.put('a', 'first')
    const killed = await world.backUp(1, {
      store: (store) => ({
        ...store,
        create: (key, ...rest) =>
          key.endsWith('.sha256') ? Promise.reject(new Error('killed')) : store.create(key, ...rest),
      }),
    })
    expect(killed).toMatchObject({ status: 'failed', error: expect.not.stringContaining('adopt') })
    world.put('d/y', 'second')
    // In the same hour: its name and its list's are taken.
    expect(await world.backUp(1)).toMatchObject({
      status: 'stored',
      key: 'user-outputs-2026-11-02-11-00.tar.gz',
    })
    expect(world.newest().increment).toMatchObject({ link: 1 })
    expect(world.members(world.newest().archive)).toEqual(['out', 'out/a', 'out/d', 'out/d/y'])
    world.expectRestorable()
  })

  test('two runs at once on two machines both store what comes back', async () => {
    await world.backUp(0)
    world.put('a', 'first')
    const [one, two] = await Promise.all([world.backUp(1), world.backUp(1)])
    for (const { status, error } of [one, two]) expect(status, error).not.toBe('failed')
    for (const { increment } of world.records().slice(1)) expect(increment?.link).toBeLessThanOrEqual(2)
    world.expectRestorable()
    world.put('a', 'second')
    await world.backUp(2)
    world.expectRestorable()
  })

  test('a clock that was set back an hour hides nothing', async () => {
    await world.backUp(5)
    const hourAgo = Date.now() / 1000 - 3600
    world.put('a', 'A')
    utimesSync(world.at('a'), hourAgo, hourAgo)
    world.put('d/old', 'new with an old time')
    utimesSync(world.at('d/old'), 1, 1)
    await world.backUp(6)
    expect(world.members(world.newest().archive)).toEqual(['out', 'out/a', 'out/d', 'out/d/old'])
    world.put('a', 'B')
    // Names and records of an hour before the newest: it is stored, and stands beside it.
    expect(await world.backUp(5.5)).toEqual(stored)
  })

  test('a file that changed while it was read is stored again, though it looks the same then', async () => {
    await world.backUp(0)
    world.put('a', 'first')
    await world.backUp(1, {
      captured: (capture) => ({
        ...capture,
        open(acceptChanges, options) {
          const stream = capture.open(acceptChanges, options)
          stream.changed.push('out/a')
          return stream
        },
      }),
    })
    expect(world.list(world.newest().archive)).toMatch(/^\? f .* out\/a$/m)
    world.put('d/y', 'second')
    await world.backUp(2)
    expect(world.members(world.newest().archive)).toEqual(['out', 'out/a', 'out/d', 'out/d/y'])
    world.put('d/y', 'third')
    await world.backUp(3)
    expect(world.members(world.newest().archive)).toEqual(['out', 'out/d', 'out/d/y'])
  })

  test('what goes away or comes between the list and the reading is in the next one', async () => {
    await world.backUp(0)
    world.put('a', 'first')
    world.put('fleeting')
    await world.backUp(1, {
      captured: (capture) => ({
        ...capture,
        open(_acceptChanges, options) {
          rmSync(world.at('fleeting'))
          rmSync(world.at('d/x'))
          world.put('late', 'late')
          world.put('a', 'second')
          return capture.open(true, options)
        },
      }),
    })
    expect(world.list(world.newest().archive)).not.toContain('fleeting')
    expect(await world.backUp(2)).toEqual(stored)
    expect(world.members(world.newest().archive)).toEqual(['out', 'out/a', 'out/d', 'out/late'])
    world.expectRestorable()
  })

  test('100,000 files that are gone within an hour are told', async () => {
    mkdirSync(world.at('many'))
    for (let at = 0; at < 100_000; at++) writeFileSync(world.at(`many/${at}`), '')
    await world.backUp(0)
    rmSync(world.at('many'), { recursive: true })
    const before = process.memoryUsage().rss
    await world.backUp(1)
    expect(world.newest().increment).toMatchObject({ link: 1, deleted: 100_001 })
    expect(process.memoryUsage().rss - before).toBeLessThan(250 * 2 ** 20)
    expect(world.members(world.newest().archive)).toEqual(['out'])
  }, 60_000)
})
