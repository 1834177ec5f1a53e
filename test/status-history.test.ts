import { expect, onTestFinished, test } from 'vitest'
import { isWrong } from '../lib/cli/finding.ts'
import { recordName } from '../lib/naming.ts'
import { makeRecord } from '../lib/record.ts'
import { readSettings } from '../lib/settings/settings.ts'
import { assess } from '../lib/status/judge/assess.ts'
import { vantageOf } from '../lib/status/look/access.ts'
import { gather } from '../lib/status/look/gather.ts'
import { startS3Server } from './servers/s3-server.ts'
import { healthyWorld, hour, runReport } from './status/world.ts'

/** What status asks of R2, and what it says, where hourly runs have gone on for a month, and for three years. */

const now = new Date('2026-11-24T10:20:00Z')
const stampOf = (back: number) =>
  new Date(now.getTime() - back * hour).toISOString().slice(0, 13).replace('T', '-')
const name = (bucket: string) => `bucket-of-${bucket}`
const buckets = ['cache', 'models', 'containers', 'user-files']

async function workshopOf(days: number) {
  const folder = `${process.env.TMPDIR ?? '/tmp'}/status-history-${process.pid}-${days}`
  const server = await startS3Server({ folder, buckets: buckets.map(name) })
  onTestFinished(() => server.close())
  const { seen } = healthyWorld({ now, copies: 3, unchangedDays: 60, minutesAgo: 20, hetzner: false })
  for (const { store, bucket = '', files, texts } of seen.shelves) {
    if (store !== 'r2') continue
    for (const { key, bytes } of files)
      await server.put(name(bucket), key, Buffer.from(texts[key] ?? 'x'.repeat(bytes)))
  }
  /** Hourly copies; the records of the last three days are read. */
  const hourly = async (bucket: string, start: string, every: number) => {
    const keys = Array.from(
      { length: Math.floor((days * 24) / every) },
      (_, index) => `${start}${stampOf(index * every + 1)}.tar.gz`,
    )
    await server.put(name(bucket), keys, Buffer.from('abc'))
    await server.put(name(bucket), keys.map(recordName), Buffer.from('nobody reads it'))
    for (const key of keys.slice(0, 72)) {
      const archive = key.slice(key.lastIndexOf('/') + 1)
      const time = new Date(`${archive.slice(-20, -10)}T${archive.slice(-9, -7)}:00:00Z`)
      await server.put(
        name(bucket),
        recordName(key),
        Buffer.from(makeRecord({ archive, sha256: 'a'.repeat(64), bytes: 3, time })),
      )
    }
  }
  await hourly('user-files', 'user-data-', 1)
  await hourly('user-files', 'user-outputs-', 1)
  await hourly('cache', 'config/home-dev-', 6)
  const { places } = healthyWorld({ now, copies: 1, unchangedDays: 0, minutesAgo: 20, hetzner: false })
  const failed = runReport('backup-mello', new Date('2026-11-14T23:05:00Z'), places, () => ({
    status: 'failed',
  }))
  const reports = Array.from(
    { length: days * 24 },
    (_, back) => `runs/backup-mello-${stampOf(back + 1)}-05-00.json`,
  )
  await server.put(name('cache'), reports, Buffer.from('{}'))
  const key = 'runs/backup-mello-2026-11-14-23-05-00.json'
  await server.put(name('cache'), key, Buffer.from(JSON.stringify(failed)))

  const settings = readSettings({
    R2_ENDPOINT: server.endpoint,
    R2_ACCESS_KEY_ID: server.accessKeyId,
    R2_SECRET_ACCESS_KEY: server.secretAccessKey,
    R2_CACHE_BUCKET: name('cache'),
    R2_MODELS_BUCKET: name('models'),
    R2_WORKER_CONTAINER_TAR_BALL_BUCKET: name('containers'),
    R2_USER_FILES_BUCKET: name('user-files'),
    VERDA_SSH: 'local',
  })
  const vantage = vantageOf(settings)
  onTestFinished(() => vantage[Symbol.asyncDispose]())
  const look = async (all = false, calendar = false) => {
    const before = server.log.length
    const wanted = new Set(['r2'] as const)
    const { seen } = await gather({
      settings,
      vantage,
      wanted,
      memory: {},
      markOff: false,
      all,
      calendar,
      now,
    })
    const requests = server.log.slice(before)
    return { ...assess(seen), requests: requests.length }
  }
  return { server, look }
}

test('three years of history cost no more than twice what a month does, and raise no false alarm', async () => {
  const month = await (await workshopOf(30)).look()
  const years = await (await workshopOf(3 * 365)).look()
  for (const { ok, findings, cells } of [month, years]) {
    expect(findings.filter(isWrong)).toEqual([])
    expect(ok).toBe(true)
    expect(
      cells.filter(({ store, state }) => store === 'r2' && !['fresh', 'by hand'].includes(state)),
    ).toEqual([])
  }
  expect(years.requests).toBeLessThanOrEqual(2 * month.requests)

  const from = new Date('2026-10-14T00:00:00Z')
  const cellOf = (of: typeof years, item: string) =>
    of.cells.find((cell) => cell.item === item && cell.store === 'r2')
  expect(cellOf(years, 'user-data')).toMatchObject({ since: from, copies: 41 * 24 + 10 })
  expect(cellOf(years, 'user-data')?.kept).toBeUndefined()
  // What did not change for so long is counted whole.
  expect(cellOf(years, 'env')).toMatchObject({ copies: 3 })
  expect(cellOf(years, 'env')?.since).toBeUndefined()
  expect(years.price).toBeUndefined()
  expect(years.notes).toContainEqual(
    expect.stringContaining('older than 2026-10-14 in 2 large buckets is not counted'),
  )
  // Each day of the calendar is there.
  expect(cellOf(years, 'user-data')?.history).toHaveLength(42)
})

test('the calendar of a page reads one report a day of each line of cron, however long the history is', async () => {
  const { look } = await workshopOf(365)
  const plain = await look()
  const page = await look(false, true)
  // 42 days, of which the newest 25 h were read before.
  expect([page.requests - plain.requests, page.findings, page.ok]).toEqual([41, plain.findings, plain.ok])
  const failed = ({ badDays }: typeof page) =>
    badDays.flatMap((one) => (one.failed.length > 0 ? [[one.item, one.failed]] : []))
  expect(failed(plain)).toEqual([])
  expect(failed(page)).toEqual(['user-data', 'user-outputs'].map((item) => [item, ['2026-11-14']]))
})

test('--all counts everything, says what R2 costs, and names what no backup makes', async () => {
  const { server, look } = await workshopOf(70)
  await server.put(name('user-files'), 'notes.txt', Buffer.from('mine'))
  const some = await look()
  expect([some.price, some.findings]).toEqual([undefined, []])
  const all = await look(true)
  expect(all.cells.find(({ item }) => item === 'user-data')).toMatchObject({ copies: 70 * 24 })
  expect(all.price).toBeDefined()
  expect(all.findings).toMatchObject([{ trouble: 'unexpected', what: expect.stringContaining('notes.txt') }])
})

test('an old archive that verify found broken is told for as long as it lies there', async () => {
  const { server, look } = await workshopOf(70)
  const key = `user-data-${stampOf(58 * 24)}.tar.gz`
  const { modified } = server.object(name('user-files'), key) as { modified: Date }
  const at = '2026-11-24T09:00:00.000Z'
  const report = {
    ...{
      command: 'verify',
      environment: 'production',
      store: 'r2',
      startedAt: at,
      finishedAt: at,
      ok: false,
    },
    broken: [
      {
        bucket: 'user-files',
        item: 'user-data',
        key,
        bytes: 3,
        modified,
        recorded: true,
        at,
        reason: 'is cut',
      },
    ],
    items: [],
  }
  await server.put(name('cache'), 'runs/verify-2026-11-24-09-00-00.json', Buffer.from(JSON.stringify(report)))
  expect((await look()).findings).toMatchObject([{ trouble: 'broken', what: expect.stringContaining(key) }])
})
