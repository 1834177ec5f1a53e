import { listCopies } from './copies.ts'
import type { Host } from './hosts/host.ts'
import { type HostName, restoringMarker } from './inventory.ts'
import { messageOf } from './message.ts'
import type { Job, Plan, Target } from './plan.ts'
import { busyReason, type ItemOutcome, overall, type Report } from './report.ts'
import { rotate } from './rotation.ts'
import { storeItem } from './store-item.ts'
import type { RotatingStore } from './stores/store.ts'
import type { Workplace } from './workplace.ts'

/** Carries a plan out, one item after another; what fails in one item or store stops no other. */
export async function carryOut(plan: Plan, place: Workplace): Promise<Report> {
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
  const done = (outcome: ItemOutcome) => {
    report.items.push(outcome)
    place.watch.itemDone(outcome)
  }
  for (const { item, reason } of plan.skipped) done({ item, status: 'skipped', reason, stores: {} })
  const ready = new Map<HostName, Promise<void>>()
  for (const job of plan.jobs) {
    const holder = place.locks.busy.get(job.item)
    if (holder !== undefined) {
      done({ item: job.item, status: 'skipped', reason: busyReason + holder, stores: {} })
      continue
    }
    place.watch.itemStarted(job)
    if (!ready.has(job.host)) ready.set(job.host, notHalfRestored(place.host(job.host)))
    done(await runJob(plan, job, place, report, ready.get(job.host) as Promise<void>))
  }
  report.finishedAt = place.clock().toISOString()
  report.ok = report.problems.length === 0 && report.items.every(({ status }) => status !== 'failed')
  return report
}

async function runJob(
  plan: Plan,
  job: Job,
  place: Workplace,
  report: Report,
  hostReady: Promise<void>,
): Promise<ItemOutcome> {
  try {
    await hostReady
    const { outcomes, warnings, absent, reason } = await storeItem(plan, job, place, (target, store) =>
      rotateItem(job, target, store, place, report),
    )
    const stores = Object.fromEntries(outcomes)
    const failures = [...new Set(Object.values(stores).flatMap(({ error }) => error ?? []))]
    const why = failures.length > 0 ? failures.join('; ') : (absent ?? reason)
    return {
      item: job.item,
      status: overall(Object.values(stores)),
      ...(why !== undefined ? { reason: why } : {}),
      ...(absent !== undefined ? { absent: true } : {}),
      stores,
      ...(warnings.length > 0 ? { warnings } : {}),
    }
  } catch (error) {
    const reason = messageOf(error)
    const stores = job.targets.map(({ store }) => [store, { status: 'failed', error: reason }])
    return { item: job.item, status: 'failed', reason, stores: Object.fromEntries(stores) }
  }
}

async function rotateItem(
  job: Job,
  target: Target,
  store: RotatingStore,
  place: Workplace,
  report: Report,
): Promise<string[]> {
  try {
    const listed = await listCopies(store, target.folder, job.item)
    // In a drill the files' own times are of another clock than the records'.
    const copies = place.settings.now ? listed.map(({ recordTaken: _, ...copy }) => copy) : listed
    const { removed, warnings } = await rotate(store, copies, target.keep ?? {}, place.clock())
    for (const { key, reasons } of removed) {
      const rotated = { store: target.store, key, reasons }
      report.rotated.push(rotated)
      place.watch.rotated(rotated)
    }
    return warnings
  } catch (error) {
    const problem = `${job.item}: ${messageOf(error)}`
    report.problems.push(problem)
    place.watch.problem(problem)
    return []
  }
}

/** A host whose restore is not finished would give backups of half of it. */
async function notHalfRestored(host: Host): Promise<void> {
  const { exitCodes } = await host.run('[ ! -e "$1" ]', [`${host.root.replace(/\/$/, '')}${restoringMarker}`])
  if (exitCodes[0] === 0) return
  throw new Error(
    `${host.name} is half restored (${restoringMarker} is there): nothing is captured before \`restore\` has finished; ` +
      'if none is under way, run it again or remove that file',
  )
}
