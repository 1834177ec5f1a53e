import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Entry, writeList } from '../../lib/capture/list.ts'
import { listName } from '../../lib/chain.ts'
import { bringBack } from '../../lib/restore/files/bring-back.ts'
import { type RestoreRequest, readAt } from '../../lib/restore/plan/request.ts'
import type { ItemOutcome } from '../../lib/restore/report.ts'
import { noteTexts } from '../../lib/restore/show.ts'
import { differencesFrom } from '../../lib/verify/drill.ts'
import { thorough } from '../thorough.ts'
import { drillOf } from './a-drill.ts'
import { chainMaker, editRecord, look, sha256Of } from './chain-maker.ts'
import { type Member, tarOf } from './tar-writer.ts'

let folder: string
let live: string
let notes: string[]
const source = 'home/dev'
const item = 'home-dev'
const inLive = (...names: string[]) => path.join(live, source, ...names)
const store = (place: 'mello' | 'sfs') =>
  path.join(folder, place === 'sfs' ? 'sfs/cache/config' : 'mello/config')
const archive = (hour: number) => `${item}-2026-11-24-${String(hour).padStart(2, '0')}.tar.gz`
const isRoot = process.getuid?.() === 0

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'chains-'))
  live = path.join(folder, 'live')
  notes = []
  for (const each of [inLive(), store('mello'), store('sfs')]) mkdirSync(each, { recursive: true })
  write('a.txt', 'first')
})
afterEach(() => {
  execFileSync('chmod', ['-R', 'u+rwX', folder])
  rmSync(folder, { recursive: true })
})

function write(name: string, content: string | Buffer) {
  mkdirSync(path.dirname(inLive(name)), { recursive: true })
  writeFileSync(inLive(name), content)
}

/** Archives hours one after another, each after its change, and says what the source was then. */
async function chain(
  changes: (() => void)[],
  { wholes = [0] }: { wholes?: number[] } = {},
): Promise<string[][]> {
  const maker = chainMaker(live, source, item, store('mello'))
  const states: string[][] = []
  for (const [hour, change] of changes.entries()) {
    change()
    await maker.hour(`2026-11-24-${String(hour).padStart(2, '0')}`, { whole: wholes.includes(hour) })
    states.push(look(live, source))
  }
  return states
}

/** Restores an hour, or the newest, to a folder of its own. */
async function restore(hour?: number, asked: Partial<RestoreRequest> = {}) {
  const root = mkdtempSync(path.join(folder, 'root-'))
  const at = hour === undefined ? {} : { at: readAt(`2026-11-24-${String(hour).padStart(2, '0')}`) }
  const context = await drillOf(item, {
    folder,
    root,
    notes,
    now: new Date('2026-11-30T10:00:00Z'),
    asked: { prefer: 'newest', ...at, ...asked },
  })
  const failed = await bringBack(context, item).then(
    () => undefined,
    (error: Error) => error.message,
  )
  return {
    root,
    context,
    state: look(root, source),
    outcome: context.outcomes.get(item),
    planned: noteTexts(context.plan),
    failed,
  }
}

describe('an hour comes back exactly as it was', () => {
  test('of files that are new, changed, deleted and renamed, with folders, links and modes', async () => {
    const weird = Buffer.from([0x77, 0x0a, 0xff, 0x5c, 0x20, 0x78])
    const weirdPath = Buffer.concat([Buffer.from(`${inLive()}/`), weird])
    const states = await chain([
      () => {
        write('dir/one', '1')
        write('dir/two', '2')
        write('swap', 'a file')
        write('closed/in', 'x')
        writeFileSync(weirdPath, 'weird')
        symlinkSync('dir/one', inLive('link'))
        linkSync(inLive('a.txt'), inLive('a-again.txt'))
        execFileSync('mkfifo', [inLive('pipe')])
      },
      () => write('b.txt', 'new'),
      () => {
        renameSync(inLive('dir'), inLive('moved'))
        unlinkSync(inLive('swap'))
        write('swap/now/a', 'folder')
        write('swap/now/b', 'folder')
        unlinkSync(weirdPath)
      },
      () => {
        rmSync(inLive('swap'), { recursive: true })
        write('swap', 'a file again')
        appendFileSync(inLive('a.txt'), ' and more')
        chmodSync(inLive('moved'), 0o2755)
        chmodSync(inLive('closed'), 0o500)
      },
      () => {
        unlinkSync(inLive('link'))
        symlinkSync('b.txt', inLive('link'))
        linkSync(inLive('b.txt'), inLive('moved/b-again'))
        unlinkSync(inLive('a-again.txt'))
        utimesSync(inLive('moved'), 1_600_000_000.5, 1_600_000_000.25)
        lutimesSync(inLive('link'), 1_500_000_000, 1_500_000_000)
        if (isRoot) chownSync(inLive('moved/one'), 1234, 1235)
        if (isRoot) chownSync(inLive('moved'), 1234, 1235)
      },
      () => {
        unlinkSync(inLive('swap'))
        symlinkSync('/etc', inLive('swap'))
        rmSync(inLive('moved'), { recursive: true })
        unlinkSync(inLive('pipe'))
      },
      () => {
        unlinkSync(inLive('swap'))
        write('swap/passwd', 'in a folder that was a link')
        writeFileSync(inLive('sparse'), 'head')
        truncateSync(inLive('sparse'), 32 * 2 ** 20)
      },
    ])
    for (const [hour, state] of states.entries()) {
      const { state: found, outcome, failed } = await restore(hour)
      expect(failed).toBeUndefined()
      expect(found, `hour ${hour}`).toEqual(state)
      expect(outcome).toMatchObject({ status: 'restored', source: 'mello', key: `config/${archive(hour)}` })
      if (hour > 0) expect(outcome).toMatchObject({ links: hour + 1, verified: true })
    }
    expect(notes).toEqual([])
    const { root } = await restore()
    const blocks = execFileSync('stat', ['-c', '%b', path.join(root, source, 'sparse')]).toString()
    expect(Number(blocks)).toBeLessThan(100)
  })
})

/** Hours 0 to 4: each adds a file of its own and takes the one before away. */
const plain = () => [0, 1, 2, 3, 4].map((hour) => () => hourly(hour))
function hourly(hour: number) {
  write(`of-${hour}`, `hour ${hour}`)
  rmSync(inLive(`of-${hour - 1}`), { force: true })
}
const inMello = (hour: number) => path.join(store('mello'), archive(hour))
const take = (hour: number, name = archive(hour)) => {
  for (const end of ['', '.sha256']) copyFileSync(inMello(hour) + end, path.join(store('sfs'), name + end))
  copyFileSync(listName(inMello(hour)), path.join(store('sfs'), listName(name)))
}
const spoil = (file: string) => {
  const bytes = readFileSync(file)
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1
  writeFileSync(file, bytes)
}

describe('a part that is lost or rotten', () => {
  test('is taken from another store that has it by its digest, and the plan says so', async () => {
    const states = await chain(plain())
    take(2)
    rmSync(inMello(2))
    const { state, outcome, planned } = await restore(4)
    expect(planned).toEqual([
      `BORROWED ${item}: mello has lost archives that it builds on; they come from another store: ${archive(2)} from sfs`,
    ])
    expect(state).toEqual(states[4])
    expect(outcome).toMatchObject({ key: `config/${archive(4)}`, links: 5 })
  })

  test('is taken from another store under another name too, with its record lost', async () => {
    const states = await chain(plain())
    const other = `${item}-2026-11-24.tar.gz`
    take(0, other)
    editRecord(path.join(store('sfs'), `${other}.sha256`), (record) => ({ ...record, archive: other }))
    for (const end of ['', '.sha256']) rmSync(inMello(0) + end)
    const { state, planned } = await restore(4, { prefer: 'newest' })
    expect(planned).toContainEqual(expect.stringMatching(/^BORROWED .*-00\.tar\.gz from sfs$/))
    expect(state).toEqual(states[4])
  })

  test.each([
    ['in the middle', 2],
    ['the whole one', 0],
    ['the hour itself', 4],
  ])('is taken from another store when it turns out to be rotten: %s', async (_, hour) => {
    const states = await chain(plain())
    take(hour)
    spoil(inMello(hour))
    const { state, outcome, planned } = await restore(4)
    expect(state).toEqual(states[4])
    // One that lies in the first store by itself is tried from there.
    if (hour === 4) return
    expect(planned).toEqual([])
    expect(outcome).toMatchObject({
      key: `config/${archive(4)}`,
      passed: [{ source: 'mello', key: `config/${archive(hour)}`, reason: expect.any(String) }],
    })
  })

  test.each<[string, () => void, RegExp]>([
    ['archive is gone', () => rmSync(inMello(2)), /builds on \S+-02\.tar\.gz, which is gone/],
    ['record is gone', () => rmSync(`${inMello(2)}.sha256`), /-02\.tar\.gz, which has no record/],
    [
      'archive is cut short',
      () => truncateSync(inMello(2), 100),
      /which is now another archive, or cut short/,
    ],
  ])('and nowhere else, leaves the last hour that is whole, said on top: its %s', async (_, spoilIt, why) => {
    const states = await chain(plain())
    spoilIt()
    const { state, outcome, planned } = await restore()
    expect(state).toEqual(states[1])
    expect(outcome).toMatchObject({ key: `config/${archive(1)}`, links: 2 })
    expect(planned[0]).toMatch(/^SKIPPED home-dev: config\/home-dev-2026-11-24-04\.tar\.gz in mello /)
    expect(planned[0]).toMatch(why)
  })

  test('and rotten everywhere leaves the last hour before it', async () => {
    const states = await chain(plain())
    spoil(inMello(3))
    const { state, outcome } = await restore()
    expect(state).toEqual(states[2])
    expect(outcome?.passed?.map(({ key }) => key)).toEqual([4, 3].map((hour) => `config/${archive(hour)}`))
    expect(outcome?.passed?.[0]?.reason).toMatch(/^it builds on home-dev-2026-11-24-03\.tar\.gz: /)
  })

  test('and that is the whole one leaves the chain before, however long the newer one is', async () => {
    const states = await chain(
      [...Array(22).keys()].map((hour) => () => hourly(hour)),
      { wholes: [0, 3] },
    )
    spoil(inMello(3))
    const { state, outcome } = await restore()
    expect(state).toEqual(states[2])
    expect(outcome).toMatchObject({ key: `config/${archive(2)}`, links: 3 })
    rmSync(inMello(3))
    expect((await restore()).state).toEqual(states[2])
  })

  test.each<[string, (file: string) => void]>([
    ['cut off', (file) => truncateSync(file, 60)],
    ['forged', (file) => copyFileSync(file.replace('-04', '-03'), file)],
    ['gone', (file) => rmSync(file)],
  ])('a list that is %s is taken from another store, or leaves the hour before', async (_, harm) => {
    const states = await chain(plain())
    take(4)
    harm(listName(inMello(4)))
    const { state, outcome } = await restore()
    expect(state).toEqual(states[4])
    expect(outcome?.key).toBe(`config/${archive(4)}`)
    for (const name of readdirSync(store('sfs'))) rmSync(path.join(store('sfs'), name))
    expect((await restore()).state).toEqual(states[3])
  })
})

describe('single files', () => {
  test('come from the archive that has them as they were at the hour', async () => {
    await chain(plain())
    const { root, outcome } = await restore(3, { path: 'home/dev/*' })
    expect(readdirSync(path.join(root, source)).sort()).toEqual(['a.txt', 'of-3'])
    expect(outcome?.lacking).toBeUndefined()
    const one = await restore(3, { path: 'home/dev/a.txt' })
    expect(readdirSync(path.join(one.root, source))).toEqual(['a.txt'])
  })

  test('that were deleted by then are not there', async () => {
    await chain(plain())
    expect((await restore(3, { path: 'home/dev/of-1' })).failed).toBe('nothing in it matches home/dev/of-1')
    expect((await restore(3, { path: 'home/dev/never' })).failed).toBe('nothing in it matches home/dev/never')
  })
})

describe('what somebody else may have written', () => {
  const forge = async (hour: number, members: Member[], entries: Partial<Entry>[] = []) => {
    const bytes = gzipSync(tarOf(...members))
    const own = { archive: archive(hour), sha256: sha256Of(bytes), bytes: bytes.length }
    const file = `${inMello(hour)}.sha256`
    const all = entries.map((one) => ({ mark: '=' as const, path: '', look: lookOfFile, target: '', ...one }))
    const list = await buffer(writeList({ item, archive: own, links: [] }, all, []))
    writeFileSync(inMello(hour), bytes)
    writeFileSync(listName(inMello(hour)), list)
    editRecord(file, (record) => ({
      ...record,
      ...own,
      list: { sha256: sha256Of(list), bytes: list.length },
    }))
  }
  const lookOfFile = 'f 1 1700000000.0000000000 1700000000.0000000000 1 644 0 0'

  test('nothing is written through a link that an archive before has', async () => {
    const outside = path.join(folder, 'outside')
    mkdirSync(outside)
    await chain([() => symlinkSync(outside, inLive('out')), () => write('b', 'b'), () => write('c', 'c')])
    const inside = `${source}/out/planted`
    await forge(2, [{ name: inside, content: 'x', mtime: 1_700_000_000 }], [{ path: inside }])
    const { root, outcome } = await restore(2)
    expect(outcome?.status).toBe('restored')
    expect(readdirSync(outside)).toEqual([])
    expect(readFileSync(path.join(root, inside), 'utf8')).toBe('x')
  })

  test.each<[string, Member]>([
    ['an absolute path', { name: '/etc/planted' }],
    ['one that climbs', { name: `${source}/../../etc/planted` }],
    ['a hard link that leads out', { name: `${source}/hard`, type: 'hard link', link: '/etc/passwd' }],
  ])('an increment with %s gives way to the hour before', async (_, member) => {
    const states = await chain(plain().slice(0, 3))
    await forge(2, [member])
    const { state, outcome } = await restore()
    expect(state).toEqual(states[1])
    expect(outcome?.passed).toMatchObject([{ key: `config/${archive(2)}` }])
  })

  test.each<[string, Partial<Entry>[]]>([
    ['an absolute path', [{ path: '/etc/passwd' }]],
    ['a path that climbs', [{ path: `${source}/../../../etc/passwd` }]],
    ['a path twice', [{ path: `${source}/a` }, { path: `${source}/a` }]],
  ])('a list with %s gives way to the hour before', async (_, entries) => {
    const states = await chain(plain().slice(0, 3))
    await forge(2, [{ name: `${source}/a`, content: 'x' }], entries)
    const { state, outcome } = await restore()
    expect(state).toEqual(states[1])
    expect(outcome?.passed?.[0]?.reason).toMatch(/^its list is unavailable: it holds /)
  })

  test('what a list has and no archive brings is named, and what is older than it says', async () => {
    await chain(plain().slice(0, 3))
    const [stale, lacking] = [`${source}/a.txt`, `${source}/zz\u0001`]
    await forge(2, [{ name: `${source}/unlisted`, content: 'x' }], [{ path: stale }, { path: lacking }])
    const { root, outcome } = await restore()
    expect(outcome).toMatchObject({ status: 'restored', lacking: [lacking, stale] })
    expect(notes).toEqual([expect.stringContaining('home/dev/zz\\u0001')])
    expect(readdirSync(path.join(root, source))).toEqual(['a.txt'])
  })

  test('a list of very many paths that nothing brings is read in bounded time', async () => {
    await chain(plain().slice(0, 2))
    const many = Array.from({ length: thorough ? 1_000_000 : 50_000 }, (_, one) => ({
      path: `${source}/x/${1_000_000 + one}`,
    }))
    await forge(
      1,
      [{ name: `${source}/a`, content: 'x', mtime: 1_700_000_000 }],
      [{ path: `${source}/a` }, ...many],
    )
    const { outcome } = await restore()
    expect(outcome?.lacking).toHaveLength(1000)
  })
})

test('a drill compares what came back with the chain laid once more', async () => {
  await chain(plain())
  const { context, outcome, root } = await restore()
  expect(await differencesFrom(context, outcome as ItemOutcome)).toEqual([])
  writeFileSync(path.join(root, source, 'a.txt'), 'other')
  expect(await differencesFrom(context, outcome as ItemOutcome)).toEqual(
    expect.arrayContaining(['home/dev/a.txt: Contents differ']),
  )
  rmSync(path.join(root, source, 'of-4'))
  expect(await differencesFrom(context, outcome as ItemOutcome)).toEqual(
    expect.arrayContaining([expect.stringMatching(/of-4: Warning: Cannot/)]),
  )
})

test('very many deletions in an hour', async () => {
  const names = Array.from(
    { length: thorough ? 100_000 : 10_000 },
    (_, one) => `many/${one % 100}/${one}\n\u00ff`,
  )
  const states = await chain([
    () => {
      for (let folder = 0; folder < 100; folder++) mkdirSync(inLive(`many/${folder}`), { recursive: true })
      for (const name of names) writeFileSync(inLive(name), '')
    },
    () => rmSync(inLive('many'), { recursive: true }),
    () => write('b', 'b'),
  ])
  const { state, failed } = await restore()
  expect(failed).toBeUndefined()
  expect(state).toEqual(states[2])
}, 120_000)
