import { expect, test } from 'vitest'
import { keepReport } from '../../lib/backup/kept-reports.ts'
import { makePlan } from '../../lib/backup/plan.ts'
import type { Report } from '../../lib/backup/report.ts'
import { selectItems } from '../../lib/backup/select.ts'
import { runReportName } from '../../lib/naming.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { heldFiles } from '../life/files.ts'
import { rotatingMemoryStore } from '../life/memory-store.ts'

const now = new Date('2027-03-01T10:05:00Z')
const daysAgo = (days: number) => new Date(now.getTime() - days * 86_400_000)
const plan = makePlan(
  'backup-cron',
  selectItems({ command: 'backup-cron', only: ['env'] }),
  readSettings({}, ['sfs']),
  now,
)
const report: Report = {
  command: 'backup-cron',
  environment: 'production',
  startedAt: now.toISOString(),
  finishedAt: now.toISOString(),
  ok: true,
  items: [{ item: 'env', status: 'unchanged', stores: { sfs: { status: 'unchanged' } } }],
  rotated: [],
  problems: [],
}

test('SFS keeps the run reports of 90 days; older ones go, whatever else lies there stays', async () => {
  const files = heldFiles()
  const put = (key: string) => files.set(key, { content: Buffer.from('{}'), modified: now, links: 0 })
  const [old, limit, young, other] = [400, 90, 89, 400].map(daysAgo) as [Date, Date, Date, Date]
  put(runReportName('backup-cron', old))
  put('runs/backup-cron-notes.txt')
  for (const time of [limit, young]) put(runReportName('backup-cron', time))
  put(runReportName('backup-verda', other))
  const store = rotatingMemoryStore({ name: 'sfs', files, now: () => now })
  await keepReport(plan, report, () => store, expect.fail)
  expect(files.under('').map(({ key }) => key)).toEqual([
    runReportName('backup-cron', limit),
    runReportName('backup-cron', young),
    runReportName('backup-cron', now),
    'runs/backup-cron-notes.txt',
    runReportName('backup-verda', other),
  ])
  expect(report).toMatchObject({ ok: true, problems: [] })
})

test('of the reports that stay, only the first is looked at', async () => {
  const files = heldFiles()
  for (let hours = 1; hours < 2000; hours++)
    files.set(runReportName('backup-cron', daysAgo(hours / 24)), {
      content: Buffer.from('{}'),
      modified: now,
      links: 0,
    })
  const store = rotatingMemoryStore({ name: 'sfs', files, now: () => now })
  let seen = 0
  const counting = {
    ...store,
    async *list(prefix: string) {
      for await (const entry of store.list(prefix)) {
        seen++
        yield entry
      }
    },
  }
  await keepReport(plan, report, () => counting, expect.fail)
  expect(seen).toBe(1)
})
