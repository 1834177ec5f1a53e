import { Readable } from 'node:stream'
import { type BucketName, runReportDays, type StoreName } from '../inventory.ts'
import { environmentFolder, readRunReportName, runReportName } from '../naming.ts'
import { type AppendOnlyStore, KeyExists, type RotatingStore, rotates } from '../stores/store.ts'
import { messageOf } from '../text.ts'
import type { Plan } from './plan.ts'
import type { Report } from './report.ts'

/** Saves a run's report in every reachable store of the plan, including why an item is not in it. */
export async function keepReport(
  plan: Plan,
  report: Report,
  open: (name: StoreName, bucket: BucketName) => AppendOnlyStore,
  problem: (text: string) => void,
): Promise<void> {
  const folder = environmentFolder(plan.environment)
  for (const name of new Set(plan.jobs.flatMap(({ targets }) => targets.map(({ store }) => store)))) {
    const store = open(name, 'cache')
    const worked = report.items.some(({ stores }) => stores[name] && stores[name].status !== 'failed')
    try {
      if (!worked) await store.probe()
      await saveReport(store, folder, report)
      if (rotates(store)) await forgetReports(store, folder, plan.command, runReportDays, plan.now)
    } catch (error) {
      // If nothing could be stored at all, every item has reported it.
      if (!worked) continue
      const text = `the run's report could not be saved in ${name}: ${messageOf(error)}`
      report.problems.push(text)
      report.ok = false
      problem(text)
    }
  }
}

/** Saves a run's report below `folder`, under the first free second from the run's start. */
export async function saveReport(
  store: AppendOnlyStore,
  folder: string,
  report: { command: string; startedAt: string },
): Promise<void> {
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
 * Removes a command's run reports older than `days` from the SFS cache. Oldest first, stopping at the first
 * to stay, because each one costs a request to the share's server.
 */
export async function forgetReports(
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
