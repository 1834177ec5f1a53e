import { Readable } from 'node:stream'
import { readRunReportName, runReportName } from './naming.ts'
import type { Report } from './report.ts'
import { type AppendOnlyStore, KeyExists, type RotatingStore } from './stores/store.ts'

/** Keeps a run's report in a store, below `folder`, under the first free second from its start on. */
export async function saveReport(store: AppendOnlyStore, folder: string, report: Report): Promise<void> {
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

/** Removes the run reports of the SFS cache that are older than `days`. */
export async function forgetReports(
  store: RotatingStore,
  folder: string,
  days: number,
  now: Date,
): Promise<void> {
  const oldest = now.getTime() - days * 24 * 3600 * 1000
  for await (const { key } of store.list(`${folder}runs/`)) {
    const name = readRunReportName(key.slice(folder.length))
    if (name && name.time.getTime() < oldest) await store.remove(key)
  }
}
