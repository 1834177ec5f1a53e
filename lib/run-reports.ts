import { Readable } from 'node:stream'
import { type BucketName, runReportDays, type StoreName } from './inventory.ts'
import { messageOf } from './message.ts'
import { readRunReportName, runReportName } from './naming.ts'
import type { Plan } from './plan.ts'
import type { Report } from './report.ts'
import { type AppendOnlyStore, KeyExists, type RotatingStore, rotates } from './stores/store.ts'

/** Keeps a run's report in every store of the plan that can be reached: what kept an item out of it is told there as well. */
export async function keepReport(
  plan: Plan,
  report: Report,
  open: (name: StoreName, bucket: BucketName) => AppendOnlyStore,
  problem: (text: string) => void,
): Promise<void> {
  const folder = plan.environment === 'production' ? '' : `${plan.environment}/`
  for (const name of new Set(plan.jobs.flatMap(({ targets }) => targets.map(({ store }) => store)))) {
    const store = open(name, 'cache')
    const worked = report.items.some(({ stores }) => stores[name] && stores[name].status !== 'failed')
    try {
      if (!worked) await store.probe()
      await saveReport(store, folder, report)
      if (rotates(store)) await forgetReports(store, folder, plan.command, runReportDays, plan.now)
    } catch (error) {
      // Where nothing at all could be stored, every item has said so already.
      if (!worked) continue
      const text = `the run's report could not be kept in ${name}: ${messageOf(error)}`
      report.problems.push(text)
      report.ok = false
      problem(text)
    }
  }
}

/** Keeps a run's report in a store, below `folder`, under the first free second from its start on. */
async function saveReport(store: AppendOnlyStore, folder: string, report: Report): Promise<void> {
  const started = new Date(report.startedAt).getTime()
  for (let second = 0; ; second++) {
    const key = folder + runReportName(report.command, new Date(started + second * 1000))
    try {
      await store.create(key, Readable.from([Buffer.from(`${JSON.stringify(report, null, 2)}\n`)]))
      return
    } catch (error) {
      if (!(error instanceof KeyExists) || second >= 60) throw error
    }
  }
}

/**
 * Removes the run reports of a command from the SFS cache that are older than `days`. They are listed oldest first, and on a share each of them costs a question
 * to its server: the first that stays ends it.
 */
async function forgetReports(
  store: RotatingStore,
  folder: string,
  command: string,
  days: number,
  now: Date,
): Promise<void> {
  const oldest = now.getTime() - days * 24 * 3600 * 1000
  for await (const { key } of store.list(`${folder}runs/${command}-`)) {
    const name = readRunReportName(key.slice(folder.length))
    if (name === undefined) continue
    if (name.time.getTime() >= oldest) return
    await store.remove(key)
  }
}
