import { tmpdir } from 'node:os'
import { sweepScratch } from '../files/scratch.ts'
import { localHost } from '../hosts/local.ts'
import type { Settings } from '../settings/settings.ts'
import { messageOf } from '../text.ts'
import { Halt, type RestoreContext, type RestoreWatcher, Skip, type Step } from './context.ts'
import { asideFolder } from './files/put-in-place.ts'
import { clearMarker, putMarker } from './marker.ts'
import { gather } from './plan/gather.ts'
import { makeRestorePlan } from './plan/plan.ts'
import type { RestorePlan } from './plan/planned.ts'
import { type RestoreRequest, selectForRestore } from './plan/request.ts'
import { isWhole, type RestoreReport, type StepOutcome } from './report.ts'
import { checklist } from './steps/checklist.ts'
import { stepsOf } from './steps/index.ts'
import { composeCommand } from './steps/packages.ts'
import type { Share } from './steps/share.ts'

/** Runs the steps in order. A failed step stops no other, unless continuing would do harm. */
export async function carryOutRestore(
  context: RestoreContext,
  steps: readonly Step[],
  clock: () => Date,
): Promise<RestoreReport> {
  const { plan, root } = context
  const names = plan.items.map(({ item }) => item)
  const report: RestoreReport = {
    command: 'restore',
    environment: plan.environment,
    root,
    at: plan.at?.toISOString(),
    startedAt: plan.now.toISOString(),
    finishedAt: '',
    ok: false,
    notes: plan.notes,
    items: [],
    steps: [],
    checklist: [],
    pending: [],
  }
  // Single files neither leave an item half restored nor complete it.
  const marked = context.request.path === undefined ? names : []
  const earlier = await putMarker(
    root,
    marked.filter((name) => hasCopy(plan, name)),
  )
  await sweepScratch(tmpdir(), '.comfyume-restore')
  let halted = false
  for (const step of steps) {
    const outcome: { step: StepOutcome; halted?: boolean } = halted
      ? notReached(step)
      : await runStep(context, step)
    halted ||= outcome.halted === true
    report.steps.push(outcome.step)
    for (const item of step.items) {
      const { status, said } = outcome.step
      // A step that ended before reaching its item gives its own reason.
      const fallback = { item, status: status === 'done' ? 'restored' : status, reason: said } as const
      const own = context.outcomes.get(item) ?? fallback
      const final = status === 'failed' && own.status !== 'failed' ? { ...own, status, reason: said } : own
      report.items.push(final)
    }
    context.watch.stepDone(outcome.step)
  }
  // Not half restored: items without any copy, models that could not be listed, and anything in a drill.
  const half = report.items.filter(
    ({ item, status, files }) =>
      status === 'failed' && (earlier.includes(item) || (item === 'models' ? files : hasCopy(plan, item))),
  )
  const pending = context.drill ? [] : half.map(({ item }) => item)
  report.pending = await clearMarker(
    root,
    marked.filter((name) => !pending.includes(name)),
    context.drill,
  )
  if (!context.drill && context.request.only === undefined && !halted) {
    report.checklist = await checklist(context)
    report.next = `cd ${context.settings.projectDir.verda} && ${(await composeCommand()) ?? 'docker compose'} up -d`
  }
  if (report.items.some(({ aside }) => aside)) report.keptAside = context.aside
  report.finishedAt = clock().toISOString()
  report.ok = isWhole(report)
  return report
}

function hasCopy(plan: RestorePlan, name: string): boolean {
  return plan.items.some(
    ({ item, candidates, models = [] }) => item === name && candidates.length + models.length > 0,
  )
}

async function runStep(
  context: RestoreContext,
  step: Step,
): Promise<{ step: StepOutcome; halted?: boolean }> {
  const outcome = (status: StepOutcome['status'], said: string) => ({
    step: { step: step.name, status, said },
  })
  context.watch.started(`${step.name}: ${step.title}`)
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
    step: {
      step: step.name,
      status: 'failed',
      said: 'not started: the restore stopped before it, see above',
    },
  }
}

export interface PrepareOptions {
  /** Files go below it; `/` is this machine, any other folder a drill. */
  root: string
  share?: Share
  now: Date
  watch: RestoreWatcher
}

/** Looks in all sources, then makes the plan and its steps, for --dry-run and run alike. Changes nothing. */
export async function prepareRestore(
  settings: Settings,
  request: RestoreRequest,
  { root, share, now, watch }: PrepareOptions,
): Promise<{ context: RestoreContext; steps: Step[] }> {
  const selected = selectForRestore(request, settings)
  const { sources, ...findings } = await gather(selected, settings, root, request.at ?? now, request.at)
  const context: RestoreContext = {
    plan: makeRestorePlan(selected, request, findings, settings, root, now),
    request,
    settings,
    share,
    root,
    drill: root !== '/',
    sources,
    unreachable: findings.unreachable,
    host: localHost({ name: 'verda', root }),
    aside: await asideFolder(root, now),
    outcomes: new Map(),
    watch,
  }
  return { context, steps: stepsOf(context) }
}
