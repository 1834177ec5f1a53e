import { filesCapture } from '../capture/files.ts'
import { imageCapture } from '../capture/image.ts'
import { pushToRepository, readSecrets } from '../capture/repository.ts'
import { restoreGuard } from '../capture/restoring.ts'
import { listCopies } from '../copies.ts'
import { type CaptureKind, stores } from '../inventory.ts'
import { environmentFolder } from '../naming.ts'
import type { RotatingStore } from '../stores/store.ts'
import { messageOf } from '../text.ts'
import type { JobContext, RunContext, Stored, Surveyed } from './context.ts'
import { surveyArchive } from './item.ts'
import { surveyModels } from './models.ts'
import { type Job, makePlan, modelSource, type Plan, type Target } from './plan.ts'
import { type ItemOutcome, overall, type Report } from './report.ts'
import { rotate } from './rotate.ts'
import { selectItems } from './select.ts'
import { brokenByStore } from './verified.ts'

/** A plan in progress. Whatever happens to an item is noted in the report. */
export interface Run {
  jobs: readonly Job[]
  report: Report
  /** Runs one item, unless another process has it. Failures do not affect other items or stores. */
  item(job: Job, steps: (item: ItemUnderWay) => Promise<Stored>): Promise<void>
  end(): Report
}

/** The item now in progress. */
export interface ItemUnderWay {
  /** Surveys its sources by kind. Throws if it can go to no store. */
  survey(): Promise<Surveyed>
  /** Law 4: only after the new copy is verified, and only where the store rotates. */
  rotate(stored: Stored): Promise<Stored>
}

export function begin(plan: Plan, context: RunContext): Run {
  const report = beginReport(plan, context)
  const contextOf = contexts(plan, context)
  return {
    jobs: plan.jobs,
    report,
    item: (job, steps) =>
      backUp(report, context, job, async () => {
        const item = contextOf(job)
        await item.notHalfRestored()
        return steps({ survey: () => survey(item), rotate: (stored) => rotateOlder(report, item, stored) })
      }),
    end: () => endReport(report, context),
  }
}

function beginReport(plan: Plan, context: RunContext): Report {
  const report: Report = {
    command: plan.command,
    environment: plan.environment,
    startedAt: plan.now.toISOString(),
    finishedAt: '',
    ok: false,
    items: [],
    rotated: [],
    problems: [],
  }
  for (const { item, reason } of plan.skipped)
    note(report, context, { item, status: 'skipped', reason, stores: {} })
  return report
}

function endReport(report: Report, context: RunContext): Report {
  report.finishedAt = context.clock().toISOString()
  report.ok =
    report.problems.length === 0 &&
    report.items.every(({ status, busy }) => status !== 'failed' && busy === undefined)
  return report
}

function note(report: Report, { emit }: RunContext, outcome: ItemOutcome): void {
  report.items.push(outcome)
  emit({ kind: 'item done', outcome })
}

/** Backs up one item, unless another process has it; a failure becomes its outcome. */
async function backUp(
  report: Report,
  context: RunContext,
  job: Job,
  steps: () => Promise<Stored>,
): Promise<void> {
  const { locks, emit } = context
  const { item } = job
  const busy = locks.busy.get(item)
  if (busy !== undefined) {
    const reason = `is being backed up by ${busy}`
    return note(report, context, { item, status: 'skipped', reason, busy, stores: {} })
  }
  emit({ kind: 'item started', job })
  try {
    note(report, context, outcomeOf(item, await steps()))
  } catch (error) {
    const reason = messageOf(error)
    const stores = job.targets.map(({ store }) => [store, { status: 'failed', error: reason }])
    note(report, context, { item, status: 'failed', reason, stores: Object.fromEntries(stores) })
  }
}

function outcomeOf(
  item: string,
  { stores, warnings, notSaved = [], incomplete, absent, gone, reason }: Stored,
): ItemOutcome {
  const errors = Object.values(stores).flatMap(({ error }) => error ?? [])
  const failures = [...new Set(errors), ...(incomplete === undefined ? [] : [incomplete])]
  return {
    item,
    status: incomplete === undefined ? overall(Object.values(stores)) : 'failed',
    reason: failures.length > 0 ? failures.join('; ') : (absent ?? reason),
    incomplete,
    absent: absent === undefined ? undefined : true,
    gone,
    stores,
    warnings: warnings.length > 0 ? warnings : undefined,
    notSaved: notSaved.length > 0 ? notSaved : undefined,
  }
}

function survey(context: JobContext): Promise<Surveyed> {
  const { capture } = context.job
  const look = captures[capture.kind] as (context: JobContext, capture: CaptureKind) => Promise<Surveyed>
  return look(context, capture)
}

type Kind = CaptureKind['kind']

const captures: {
  [K in Kind]: (context: JobContext, capture: CaptureKind & { kind: K }) => Promise<Surveyed>
} = {
  files: (context, { sources }) => surveyArchive(context, filesCapture(context.on, sources)),
  image(context) {
    const { images, containerEngine } = context.settings
    const { item } = context.job
    return surveyArchive(context, imageCapture(context.on, item, images[item], containerEngine))
  },
  models: (context, capture) =>
    surveyModels(context, modelSource(context.job.host, capture, context.settings)),
  async repository({ plan, job, on, now, settings, acceptShrink, notHalfRestored }, { sources }) {
    const repository = settings.repositories.credentials
    if (repository === undefined) {
      const reason = 'CREDENTIALS_REPO is not set: there is no private repository to push them to'
      return { store: async () => ({ stores: {}, warnings: [], reason }), lacking: async () => [] }
    }
    const run = {
      host: on,
      sources,
      base: settings.projectDir[job.host],
      repository,
      folder: environmentFolder(plan.environment),
      message: `${job.item} of ${job.host} (${plan.environment}) at ${now.toISOString()}`,
      acceptShrink,
      atEnd: notHalfRestored,
    }
    const files = await readSecrets(run)
    const push = async () => ({ stores: { git: await pushToRepository(run, files) }, warnings: [] })
    return { store: push, lacking: async () => [] }
  },
}

async function rotateOlder(report: Report, context: JobContext, stored: Stored): Promise<Stored> {
  // Only older copies may have what the new one lacks.
  if (stored.incomplete !== undefined) return stored
  for (const target of context.job.targets) {
    const status = stored.stores[target.store]?.status
    if (target.keep === undefined || (status !== 'stored' && status !== 'unchanged')) continue
    stored.warnings.push(...(await rotateItem(report, context, target)))
  }
  return stored
}

async function rotateItem(report: Report, context: JobContext, target: Target): Promise<string[]> {
  const { job, settings, stores, broken, clock, emit } = context
  const store = stores.get(target) as RotatingStore
  try {
    const listed = await listCopies(store, target.folder, job.item)
    // In a drill the files' times and the records' come from different clocks.
    const timed = settings.now ? listed.map(({ recordTaken: _, ...copy }) => copy) : listed
    // Copies that `verify` found broken stay until they are moved, and take no good copy's place.
    const isBroken = await broken(target.store)
    const copies = timed.filter((copy) => !isBroken(target.bucket, copy))
    const { removed, warnings } = await rotate(store, copies, target.keep ?? {}, clock())
    for (const { key, reasons } of removed) {
      const rotated = { store: target.store, key, reasons }
      report.rotated.push(rotated)
      emit({ kind: 'rotated', ...rotated })
    }
    return warnings
  } catch (error) {
    const text = `${job.item}: ${messageOf(error)}`
    report.problems.push(text)
    emit({ kind: 'problem', text })
    return []
  }
}

/**
 * What Verda has now that some store lacks although the run stored it: later changes, and users' files that
 * are on Verda by USER_DATA_HOST, which backup-mello stores.
 */
export async function lostByShutdown(plan: Plan, context: RunContext): Promise<string[]> {
  const { settings } = context
  const others = makePlan('backup-mello', selectItems({ command: 'backup-mello' }), settings, plan.now)
  const reasons: string[] = []
  const contextOf = contexts(plan, context)
  for (const { command, jobs } of [plan, others])
    for (const job of jobs.filter(({ host }) => host === 'verda')) {
      try {
        const found = await survey(contextOf(job))
        const lacking = await found.lacking()
        reasons.push(...(found.notSaved ?? []).map((what) => `${job.item}: ${what}`))
        if (lacking.length > 0)
          reasons.push(
            `${job.item} as it is now on Verda is not in ${lacking.join(' and ')}: comfyume-backup ${command}`,
          )
      } catch (error) {
        reasons.push(`${job.item}: ${messageOf(error)}`)
      }
    }
  return reasons
}

/**
 * What would stop a run from doing its plan: an unmounted share, a missing source. Changes nothing. Whether
 * an object store answers is doctor's question.
 */
export async function foreseen(plan: Plan, context: RunContext): Promise<string[]> {
  const contextOf = contexts(plan, context)
  /** Items with one cause, such as an unreachable host. */
  const alike = new Map<string, string[]>()
  for (const job of plan.jobs)
    try {
      const item = contextOf(job)
      await item.notHalfRestored()
      await survey(item)
    } catch (error) {
      const text = messageOf(error)
      alike.set(text, [...(alike.get(text) ?? []), job.item])
    }
  const problems = [...alike].map(([text, names]) => `${names.join(', ')}: ${text}`)
  const directories = plan.jobs
    .flatMap(({ targets }) => targets)
    .filter(({ store }) => stores[store].kind === 'directory')
  for (const [name, bucket] of new Map(directories.map(({ store, bucket }) => [store, bucket])))
    await context
      .store(name, bucket)
      .look()
      .catch((error) => problems.push(messageOf(error)))
  return problems
}

function contexts(plan: Plan, context: RunContext): (job: Job) => JobContext {
  const broken = brokenByStore((name) => context.store(name, 'cache'), plan.environment, plan.now)
  return (job) => {
    const on = context.host(job.host)
    return {
      ...context,
      plan,
      job,
      now: context.clock(),
      on,
      stores: new Map(job.targets.map((target) => [target, context.store(target.store, target.bucket)])),
      broken,
      onBytes: (bytes) => context.emit({ kind: 'bytes', bytes }),
      notHalfRestored: restoreGuard(on),
    }
  }
}
