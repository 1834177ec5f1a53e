import { mkdirSync, readFileSync, rmSync, utimesSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Verified } from '../../lib/backup/verified.ts'
import type { StoreName } from '../../lib/inventory.ts'
import type { Assessment } from '../../lib/status/judge/assess.ts'
import { lastWordsOfVerify } from '../../lib/verify/show.ts'
import { type Asked, backUp, statusIn, verifyIn } from './steps.ts'
import { buildWorkshop, cacheBucket, modelsBucket, userFilesBucket, type Workshop } from './workshop.ts'

let workshop: Workshop
beforeEach(async () => {
  workshop = await buildWorkshop()
})
afterEach(() => workshop.dispose())

const at = (hour: number) => new Date(Date.UTC(2026, 10, 24) + hour * 3_600_000).toISOString()
const verify = (hour: number, asked: Partial<Asked> = {}) =>
  verifyIn(workshop, { now: at(hour), stores: ['r2'], ...asked })
/** Status on another machine, which remembers nothing about the object store. */
const status = (hour: number, store: StoreName = 'r2') => statusIn(workshop, at(hour), [store])
const userData = async (hour: number) =>
  (await backUp(workshop, 'backup-mello', { now: at(hour), only: ['user-data'] })).items[0]
function flipped(content: Buffer): Buffer {
  const copy = Buffer.from(content)
  copy[copy.length >> 1] = (copy[copy.length >> 1] as number) ^ 1
  return copy
}
async function spoil(bucket: string, key: string) {
  await workshop.r2.put(bucket, key, flipped((await workshop.r2.content(bucket, key)) as Buffer))
}
const brokenIn = (found: Assessment, item: string) =>
  found.findings.filter(({ trouble, items }) => trouble === 'broken' && items.includes(item))

describe('what verify finds reaches everybody', () => {
  const first = 'user-data-2026-11-24-10.tar.gz'

  test('one byte flipped in the only archive: the next backup stores it anew, and status alarms until then', async () => {
    expect((await userData(10))?.status).toBe('stored')
    await spoil(userFilesBucket, first)
    const found = await verify(11)
    expect([found.ok, found.checked[0]?.status]).toEqual([false, 'broken'])

    const alarmed = await status(11)
    expect(brokenIn(alarmed, 'user-data')).toMatchObject([{ status: 'wrong', store: 'r2' }])
    expect(brokenIn(alarmed, 'user-data')[0]?.what).toMatch(
      /user-data-2026-11-24-10\.tar\.gz on Cloudflare R2 is broken: verify read it at 2026-11-24 11:00/,
    )
    const cell = alarmed.cells.find(({ item, store }) => item === 'user-data' && store === 'r2')
    expect(cell).toMatchObject({ state: 'missing', verified: { archives: 1, unread: { archives: 0 } } })

    expect((await userData(12))?.stores.r2).toMatchObject({
      status: 'stored',
      key: 'user-data-2026-11-24-12.tar.gz',
    })
    // The broken copy stays forever, but raises no alarm next to a good one.
    expect(brokenIn(await status(12), 'user-data')).toMatchObject([{ status: 'warning' }])
    expect((await userData(13))?.status).toBe('unchanged')
  })

  test('a run that cannot read what others found does not forget it', async () => {
    await userData(10)
    await spoil(userFilesBucket, first)
    await verify(11)
    workshop.r2.fail({ operation: 'GetObject', how: 403, code: 'AccessDenied', times: 50 })
    const blind = await verify(12, { machine: 'another', budget: 1 })
    expect(workshop.r2.heal()).toBeLessThan(50)
    expect(blind.warnings.join('\n')).toMatch(/must not be lost/)
    expect(brokenIn(await status(13), 'user-data')).toMatchObject([{ status: 'wrong' }])
    expect((await userData(14))?.stores.r2?.status).toBe('stored')
  })

  test('an old rotten archive beside good ones is known and said, and fails one run alone', async () => {
    await userData(10)
    workshop.write('home/dev/comfyume-v1/data/workflows/user001/new', 'new\n')
    await userData(12)
    await spoil(userFilesBucket, first)
    expect((await verify(13)).ok).toBe(false)
    const again = await verify(14, { machine: 'another' })
    expect(again.checked.find(({ key }) => key === first)).toMatchObject({ status: 'broken', known: true })
    expect(again.ok).toBe(true)
    expect(lastWordsOfVerify(again)).toMatch(/^OK verify: 2 good, .*0 broken, 1 known broken \(r2 user-data/)
    // A newer copy that is broken too is no replacement.
    await spoil(userFilesBucket, 'user-data-2026-11-24-12.tar.gz')
    expect((await verify(15)).ok).toBe(false)
    expect((await verify(16)).ok).toBe(false)
  })

  test('on the share the day’s file is made anew', async () => {
    const { verda } = workshop
    const env = (hour: number) => backUp(workshop, 'backup-cron', { now: at(hour), only: ['env'] })
    await env(10)
    const key = 'config/env-2026-11-24.tar.gz'
    verda.put(key, flipped(verda.read(key)))
    expect((await verify(11, { stores: ['sfs'] })).ok).toBe(false)
    expect(brokenIn(await status(11, 'sfs'), 'env')).toMatchObject([{ status: 'wrong' }])
    expect((await env(12)).items[0]?.status).toBe('stored')
    expect((await verify(13, { stores: ['sfs'] })).ok).toBe(true)
    expect(brokenIn(await status(13, 'sfs'), 'env')).toEqual([])
  })

  test('of items that a run leaves out, the store keeps what the run before said', async () => {
    await backUp(workshop, 'backup-verda', { now: at(10), only: ['env', 'ufw'], stores: ['r2'] })
    await spoil(cacheBucket, 'config/env-2026-11-24.tar.gz')
    await verify(11)
    await verify(12, { only: ['ufw'], machine: 'another' })
    const kept = await workshop.r2.content(cacheBucket, 'runs/verify-2026-11-24-12-00-00.json')
    const told = JSON.parse(kept?.toString() ?? '') as Verified
    expect(told).toMatchObject({
      store: 'r2',
      broken: [{ item: 'env', key: 'config/env-2026-11-24.tar.gz', at: '2026-11-24T11:00:00.000Z' }],
    })
    expect(told.items.find(({ item }) => item === 'ufw')).toMatchObject({
      archives: 1,
      unread: { archives: 0, bytes: 0 },
      good: { key: 'config/ufw-2026-11-24.tar.gz', at: '2026-11-24T12:00:00.000Z' },
    })
  })

  test('where it cannot be kept, something broken is a problem, and nothing broken a warning', async () => {
    await backUp(workshop, 'backup-verda', { now: at(10), only: ['env'], stores: ['r2'] })
    const refuse = () => workshop.r2.fail({ operation: 'PutObject', how: 403, code: 'AccessDenied' })
    refuse()
    const good = await verify(11)
    expect([good.ok, good.warnings.join()]).toEqual([
      true,
      expect.stringContaining('could not be kept there'),
    ])
    await spoil(cacheBucket, 'config/env-2026-11-24.tar.gz')
    refuse()
    expect((await verify(12)).problems.join()).toContain('status and the backups do not know of it')
  })
})

describe('of models', () => {
  const base = 'checkpoints/base.safetensors'
  const beside = 'checkpoints/base-2026-11-24.safetensors'
  const models = async (hour: number) => {
    const { items } = await backUp(workshop, 'backup-verda', { now: at(hour), only: ['models'] })
    return Object.fromEntries((items[0]?.stores.r2?.files ?? []).map(({ key, status }) => [key, status]))
  }
  const spoilModel = async (key = base) => {
    await spoil(modelsBucket, key)
    expect((await verify(11, { only: ['models'] })).ok).toBe(false)
  }
  /** Includes the share, where the models live. */
  const look = (hour: number) => {
    workshop.verda.put('config/notes.txt', '')
    return statusIn(workshop, at(hour), ['r2', 'sfs'])
  }
  const cell = (found: Assessment) =>
    found.cells.find(({ item, store }) => item === 'models' && store === 'r2')
  const said = (found: Assessment) =>
    found.findings
      .filter(({ items }) => items.includes('models'))
      .map(({ trouble, status }) => [trouble, status])
  async function restored(...args: string[]) {
    const to = path.join(workshop.verda.folder, `to-${args.join('')}`)
    mkdirSync(to)
    const run = await workshop.restore(['--only', 'models', '--yes', '--json', '--root', to, ...args], {
      BACKUP_NOW: at(20),
    })
    expect(run.code, run.stderr).toBe(0)
    return readFileSync(path.join(to, 'mnt/sfs/models', base), 'utf8')
  }
  /** Runs before every backup in these tests. */
  const lay = (content: string, hour: number) => {
    workshop.writeModel(base, content)
    utimesSync(live, new Date(at(hour)), new Date(at(hour)))
  }
  let live: string
  beforeEach(() => {
    live = path.join(workshop.verda.root, 'mnt/sfs/models', base)
    lay('base model\n', 9)
    utimesSync(path.join(live, '../../loras/style.safetensors'), 1, 1)
  })

  test('a broken one is not there: status alarms, the next backup stores it anew, restore takes that', async () => {
    await models(10)
    await spoilModel()
    const alarmed = await look(11)
    expect(said(alarmed)).toEqual([['broken', 'wrong']])
    expect(alarmed.findings.find(({ trouble }) => trouble === 'broken')?.todo).toContain(
      'backup-verda --only models --to r2',
    )
    expect(cell(alarmed)?.lacking).toBe(1)

    expect(await models(12)).toEqual({ [beside]: 'stored', 'loras/style.safetensors': 'unchanged' })
    const record = (await workshop.r2.content(modelsBucket, `${beside}.sha256`))?.toString()
    expect(record).toContain(`# original: ${base}\n`)
    const after = await look(12)
    expect([said(after), cell(after)?.lacking]).toEqual([[['broken', 'warning']], 0])
    expect(await models(13)).toEqual({ [beside]: 'unchanged', 'loras/style.safetensors': 'unchanged' })

    expect(await restored()).toBe('base model\n')
    // Only the later copy has the content of that time.
    expect(await restored('--at', '2026-11-24-11')).toBe('base model\n')
    const again = await verify(14, { only: ['models'], machine: 'another' })
    expect(again.checked.find(({ key }) => key === base)).toMatchObject({ status: 'broken', known: true })
    expect(again.ok).toBe(true)
  })

  test('a good one of another model is no comfort', async () => {
    await models(10)
    await spoilModel()
    workshop.writeModel('vae/new.safetensors', 'new\n')
    await workshop.r2.put(modelsBucket, 'vae/new.safetensors', Buffer.from('new\n'))
    await verify(12, { only: ['models'] })
    expect((await verify(13, { only: ['models'] })).ok).toBe(false)
  })

  test('of a broken newer content, an older good one comes back, and the plan says so', async () => {
    await models(10)
    lay('other base\n', 10.5)
    await models(10.75)
    await spoilModel(beside)
    expect(await restored()).toBe('base model\n')
    const plan = await workshop.restore(
      ['--only', 'models', '--dry-run', '--json', '--root', '/nowhere', '--with-models'],
      { BACKUP_NOW: at(20) },
    )
    expect(JSON.parse(plan.stdout).notes.join()).toContain(
      `SKIPPED models: ${beside} known to be broken: an older content comes back instead`,
    )
  })

  test.each([
    ['cannot be read', () => 'nonsense'],
    ['is another file’s', (text: string) => text.replace('  base', '  bass')],
    ['gives another size', (text: string) => text.replace(/# bytes: \d+/, '# bytes: 99')],
  ])('one whose record %s is not there either', async (_, spoilRecord) => {
    await models(10)
    const record = (await workshop.r2.content(modelsBucket, `${base}.sha256`))?.toString() as string
    await workshop.r2.put(modelsBucket, `${base}.sha256`, Buffer.from(spoilRecord(record)))
    expect(said(await look(11))).toEqual([['broken', 'wrong']])
    expect(await models(12)).toMatchObject({ [beside]: 'stored' })
    expect(said(await look(13))).toEqual([['broken', 'warning']])
    expect(await restored()).toBe('base model\n')
  })

  test('one that lives no more is told, and alarms nobody', async () => {
    await models(10)
    await spoilModel()
    rmSync(live)
    expect(said(await look(12))).toEqual([['broken', 'warning']])
  })
})

describe('verify of nothing is not OK', () => {
  test.each<[string, Partial<Asked>]>([
    ['an empty folder', { stores: ['sfs'] }],
    ['empty buckets', { stores: ['r2'] }],
    ['nothing anywhere', { stores: undefined }],
    ['an item that is nowhere', { stores: undefined, only: ['ssl'] }],
  ])('%s', async (_, asked) => {
    workshop.verda.put('config/notes.txt', '')
    const report = await verify(11, asked)
    expect(report.ok).toBe(false)
    expect(report.problems.join()).toMatch(/nothing was verified/)
    expect(lastWordsOfVerify(report)).toMatch(/FAILED verify/)
  })

  test('one store of two that holds nothing at all', async () => {
    await backUp(workshop, 'backup-verda', { now: at(10), only: ['env'], stores: ['r2'] })
    workshop.verda.put('config/notes.txt', '')
    const report = await verify(11, { stores: ['r2', 'sfs'] })
    expect([report.ok, report.problems]).toEqual([
      false,
      ['sfs: there is no archive of anything that was asked for'],
    ])
  })
})
