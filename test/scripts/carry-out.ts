import type { RunContext } from '../../lib/backup/context.ts'
import type { Plan } from '../../lib/backup/plan.ts'
import type { Report } from '../../lib/backup/report.ts'
import { begin } from '../../lib/backup/run.ts'

/** What the backup scripts do with the items of a plan. */
export async function carryOut(plan: Plan, context: RunContext): Promise<Report> {
  const run = begin(plan, context)
  for (const job of run.jobs)
    await run.item(job, async (item) => {
      const found = await item.survey()
      return item.rotate(await found.store())
    })
  return run.end()
}
