import { messageOf } from '../message.ts'
import type { Settings } from '../settings.ts'
import type { Adopted } from './adopt.ts'
import type { Archive } from './archives.ts'
import { makeBudget } from './budget.ts'
import { findElsewhere } from './elsewhere.ts'
import { bytesOf, type StorePlan, type VerifyPlan } from './plan.ts'
import { readStore } from './read-store.ts'
import type { Checked, VerifyReport } from './report.ts'

/** Told what happens while it happens. */
export interface VerifyWatcher {
  started(archive: Archive): void
  bytes(bytes: number): void
  leftOut(why: string): void
  checked(checked: Checked): void
  adopted(adopted: Adopted): void
  warning(text: string): void
  problem(text: string): void
}

/** Carries a plan out, all stores at once, each by one reader; what fails in one stops no other. */
export async function verify(
  plan: VerifyPlan,
  settings: Settings,
  clock: () => Date,
  watch: VerifyWatcher,
): Promise<VerifyReport> {
  const report: VerifyReport = {
    command: 'verify',
    environment: plan.environment,
    startedAt: plan.now.toISOString(),
    finishedAt: '',
    ok: false,
    stores: {},
    checked: [],
    adopted: [],
    unread: 0,
    warnings: [],
    problems: [],
  }
  const warn = (text: string) => {
    report.warnings.push(text)
    watch.warning(text)
  }
  const problem = (text: string) => {
    report.problems.push(text)
    watch.problem(text)
  }
  const chosen = plan.stores.reduce((sum, { reads }) => sum + bytesOf(reads), 0)
  const budget = makeBudget(plan.budget === undefined ? undefined : plan.budget - chosen)
  const elsewhere = findElsewhere(settings)
  for (const store of plan.stores) {
    if (store.view.leftOut !== undefined) watch.leftOut(store.view.leftOut)
    tellBefore(store, plan, warn, problem)
  }
  if (plan.stores.every(({ view }) => view.shelves.length === 0))
    problem('there is no store that could be read')
  await Promise.all(
    plan.stores.map(async (store) => {
      const { name, leftOut, failures, byItem } = store.view
      const about: VerifyReport['stores'][string] = {
        status: leftOut !== undefined ? 'left out' : failures.length > 0 ? 'failed' : 'read',
        archives: byItem.flat().length,
        bytes: 0,
      }
      const reason = leftOut ?? failures.join('; ')
      if (reason !== '') about.reason = reason
      report.stores[name] = about
      await readStore(store, {
        settings,
        clock,
        budget,
        elsewhere,
        adopting: plan.adopt,
        onBytes(bytes) {
          about.bytes += bytes
          watch.bytes(bytes)
        },
        onStart: watch.started,
        onChecked(checked) {
          report.checked.push(checked)
          watch.checked(checked)
        },
        onAdopted(adopted) {
          report.adopted.push(adopted)
          watch.adopted(adopted)
        },
        onUnread: () => report.unread++,
        onAway(why) {
          about.status = 'failed'
          about.reason = about.reason ? `${about.reason}; ${why}` : why
          problem(why)
        },
        problem,
      })
      report.unread += store.left.length
      if (store.view.shelves.length === 0) return
      store.memory.setFirst(plan.next?.store === name ? plan.next : undefined)
      if (store.complete) store.memory.keepOnly(byItem.flat())
      await store.memory.save().catch((error) => {
        warn(
          `what was verified in ${name} cannot be remembered, the next run begins anew: ${messageOf(error)}`,
        )
      })
    }),
  )
  report.finishedAt = clock().toISOString()
  report.ok = report.problems.length === 0 && report.checked.every(({ status }) => status !== 'broken')
  return report
}

/** What the plan says already of a store. */
function tellBefore(
  { view, left, memory }: StorePlan,
  { budget }: VerifyPlan,
  warn: (text: string) => void,
  problem: (text: string) => void,
): void {
  for (const failure of view.failures) problem(failure)
  if (view.shelves.length > 0 && view.failures.length === 0 && view.byItem.flat().length === 0)
    warn(`${view.name}: nothing of what was asked for lies there`)
  for (const archive of left) {
    const seen = memory.seen(archive)
    if (seen?.status === 'broken')
      problem(
        `${view.name}: ${archive.key} was found broken at ${seen.at}, and there was no budget to read it again`,
      )
  }
  const tooLarge = left.filter(({ bytes = 0 }) => bytes > (budget ?? 0)).map(({ key }) => key)
  if (tooLarge.length > 0)
    warn(
      `${view.name}: larger than the whole budget, so never read with it: ${tooLarge.slice(0, 3).join(', ')}${tooLarge.length > 3 ? ` and ${tooLarge.length - 3} more` : ''}`,
    )
}
