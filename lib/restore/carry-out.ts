import { tmpdir } from 'node:os'
import { messageOf } from '../message.ts'
import { sweepScratch } from '../scratch.ts'
import { checklist } from './checklist.ts'
import { clearMarker, putMarker } from './marker.ts'
import type { RestorePlan } from './plan.ts'
import { isWhole, type RestoreReport, type StepOutcome } from './report.ts'
import type { Site } from './site.ts'
import { Halt, Skip, type Step } from './step.ts'

/** Carries the steps out, one after another; what fails in one stops no other, unless going on would do harm. */
export async function carryOutRestore(
  site: Site,
  steps: readonly Step[],
  clock: () => Date,
): Promise<RestoreReport> {
  const { plan, root } = site
  const names = plan.items.map(({ item }) => item)
  const report: RestoreReport = {
    command: 'restore',
    environment: plan.environment,
    root,
    ...(plan.at ? { at: plan.at.toISOString() } : {}),
    startedAt: plan.now.toISOString(),
    finishedAt: '',
    ok: false,
    notes: plan.notes,
    items: [],
    steps: [],
    checklist: [],
    pending: [],
  }
  const earlier = await putMarker(
    root,
    names.filter((name) => hasCopy(plan, name)),
  )
  await sweepScratch(tmpdir(), '.comfyume-restore')
  let halted = false
  for (const step of steps) {
    const outcome: { step: StepOutcome; halted?: boolean } = halted
      ? notReached(step)
      : await runStep(site, step)
    halted ||= outcome.halted === true
    report.steps.push(outcome.step)
    for (const item of step.items) {
      const { status, said } = outcome.step
      // A step that ended before it came to its item says why in its own words.
      const fallback = { item, status: status === 'done' ? 'restored' : status, reason: said } as const
      const own = site.outcomes.get(item) ?? fallback
      const final = status === 'failed' && own.status !== 'failed' ? { ...own, status, reason: said } : own
      report.items.push(final)
      site.watch.itemDone(final)
    }
    site.watch.stepDone(outcome.step)
  }
  // Of what no run had a copy of, nothing is half restored, nor of models that could not even be listed; and a drill's folder is no machine.
  const half = report.items.filter(
    ({ item, status, files }) =>
      status === 'failed' && (earlier.includes(item) || (item === 'models' ? files : hasCopy(plan, item))),
  )
  const pending = site.drill ? [] : half.map(({ item }) => item)
  report.pending = await clearMarker(
    root,
    names.filter((name) => !pending.includes(name)),
  )
  if (!site.drill && site.request.only === undefined && !halted) {
    report.checklist = await checklist(site)
    report.next = `cd ${site.settings.projectDir.verda} && docker compose up -d`
  }
  if (report.items.some(({ aside }) => aside)) report.keptAside = site.aside
  report.finishedAt = clock().toISOString()
  report.ok = isWhole(report)
  return report
}

function hasCopy(plan: RestorePlan, name: string): boolean {
  return plan.items.some(
    ({ item, candidates, models = [] }) => item === name && candidates.length + models.length > 0,
  )
}

async function runStep(site: Site, step: Step): Promise<{ step: StepOutcome; halted?: boolean }> {
  const outcome = (status: StepOutcome['status'], said: string) => ({
    step: { step: step.name, status, said },
  })
  site.watch.started(`${step.name}: ${step.title}`)
  try {
    const there = await step.done()
    if (there !== undefined) return outcome('unchanged', there)
    const { said, changed } = await step.do()
    await step.check?.()
    return outcome(changed ? 'done' : 'unchanged', said)
  } catch (error) {
    if (error instanceof Skip) return outcome('skipped', error.message)
    return { ...outcome('failed', messageOf(error)), halted: error instanceof Halt }
  }
}

function notReached(step: Step): { step: StepOutcome; halted?: boolean } {
  return {
    step: { step: step.name, status: 'failed', said: 'not begun: the restore stopped before it, see above' },
  }
}
