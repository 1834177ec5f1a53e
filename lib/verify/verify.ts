import path from 'node:path'
import { type StoreName, stores } from '../inventory.ts'
import type { Settings } from '../settings/settings.ts'
import { firstOf, messageOf } from '../text.ts'
import { findElsewhere } from './advice.ts'
import { keepFindings, recall } from './keep.ts'
import { openMemory } from './memory.ts'
import {
  bytesOf,
  type Known,
  makeBudget,
  planReads,
  type StorePlan,
  type VerifyPlan,
  type VerifyRequest,
} from './plan.ts'
import type { StoreReport, VerifyReport } from './read.ts'
import { isMadeUpFor, readStore, type VerifyEvent } from './read.ts'
import { type Archive, buildingOn, linksBehind, type StoreView, surveyStore } from './survey.ts'

export function storesOf({ named }: VerifyRequest): readonly StoreName[] {
  return named ?? (Object.keys(stores) as StoreName[])
}

/** Surveys all stores, decides the reading order. Writes nothing. `state`: the folder kept between runs. */
export async function planVerify(
  request: VerifyRequest,
  settings: Settings,
  state: string,
  now: Date,
  warn: (text: string) => void,
): Promise<VerifyPlan> {
  const found = await Promise.all(
    storesOf(request).map(async (name) => {
      const view = await surveyStore(name, request.selected, settings, request.named !== undefined)
      const memory = await openMemory(path.join(state, 'verify'), name, settings, warn)
      return followChains(await recall(view, memory, settings, now, warn))
    }),
  )
  return planReads(request, found, settings, now, Math.random)
}

/** Finds what the newest archives build on, and what builds on archives known to be broken. */
async function followChains(known: Known): Promise<Known> {
  const { view, memory } = known
  const behind: Archive[] = []
  const affected: StorePlan['affected'] = new Map()
  for (const archives of view.byItem) {
    const shelf = view.shelves.find(({ bucket }) => bucket === archives[0]?.bucket)
    if (shelf === undefined) continue
    behind.push(...(await linksBehind(shelf, archives)))
    for (const archive of archives.filter((one) => memory.seen(one)?.status === 'broken'))
      affected.set(archive.key, await buildingOn(shelf, archives, archive))
  }
  return { ...known, behind, affected }
}

type Tell = (event: VerifyEvent) => void

/** Carries out a plan, one reader per store, all at once. A failure in one stops no other. */
export async function verify(
  plan: VerifyPlan,
  settings: Settings,
  clock: () => Date,
  watch: Tell,
): Promise<VerifyReport> {
  const report: VerifyReport = {
    command: 'verify',
    environment: plan.environment,
    startedAt: plan.now.toISOString(),
    finishedAt: '',
    ok: false,
    stores: Object.fromEntries(plan.stores.map(({ view }) => [view.name, reportOf(view)])),
    checked: [],
    adopted: [],
    refused: [],
    unread: 0,
    warnings: [],
    problems: [],
  }
  const tell = (event: VerifyEvent) => {
    noteIn(report, event)
    watch(event)
  }
  const chosen = plan.stores.reduce((sum, { reads }) => sum + bytesOf(reads), 0)
  const budget = makeBudget(plan.budget === undefined ? undefined : plan.budget - chosen)
  const elsewhere = findElsewhere(settings)
  for (const store of plan.stores) tellBefore(store, plan, tell)
  if (plan.stores.every(({ view }) => view.shelves.length === 0))
    tell({ kind: 'problem', text: 'no store could be read' })
  else if (plan.stores.every(({ view }) => view.byItem.flat().length === 0))
    tell({ kind: 'problem', text: 'no store has any of the items asked for: nothing was verified' })
  else if (plan.stores.every(({ reads }) => reads.length === 0))
    tell({ kind: 'problem', text: 'the budget is too small for any archive: nothing was verified' })
  await Promise.all(
    plan.stores.map(async (store) => {
      const { name, byItem, shelves } = store.view
      await readStore(store, { settings, clock, budget, elsewhere, adopting: plan.adopt, tell })
      report.unread += store.left.length
      if (shelves.length === 0) return
      store.memory.setFirst(plan.next?.store === name ? plan.next : undefined)
      if (store.complete) store.memory.keepOnly(byItem.flat())
      await store.memory.save().catch((error) => {
        const text = `what was verified in ${name} cannot be remembered, the next run starts over: ${messageOf(error)}`
        tell({ kind: 'warning', text })
      })
    }),
  )
  report.finishedAt = clock().toISOString()
  const isGood = () =>
    report.problems.length === 0 &&
    report.checked.every(({ status, known }) => status !== 'broken' || known === true)
  report.ok = isGood()
  for (const store of plan.stores.filter(({ view }) => view.items.length > 0))
    await keep(store, report, settings, clock(), tell)
  report.ok = isGood()
  return report
}

function reportOf({ leftOut, failures, byItem }: StoreView): StoreReport {
  const reason = leftOut ?? failures.join('; ')
  return {
    status: leftOut !== undefined ? 'left out' : failures.length > 0 ? 'failed' : 'read',
    archives: byItem.flat().length,
    bytes: 0,
    ...(reason === '' ? {} : { reason }),
  }
}

function noteIn(report: VerifyReport, event: VerifyEvent): void {
  if (event.kind === 'checked') report.checked.push(event.checked)
  else if (event.kind === 'adopted') report.adopted.push(event.adopted)
  else if (event.kind === 'refused') {
    const { store, item, key } = event.archive
    report.refused.push({ store, item, key, reason: event.reason })
  } else if (event.kind === 'unread') report.unread++
  else if (event.kind === 'warning') report.warnings.push(event.text)
  else if (event.kind === 'problem') report.problems.push(event.text)
  else if (event.kind === 'bytes') (report.stores[event.store] as StoreReport).bytes += event.bytes
  else if (event.kind === 'away') {
    const about = report.stores[event.store] as StoreReport
    about.reason = about.reason ? `${about.reason}; ${event.why}` : event.why
    about.status = 'failed'
  }
}

/** Saves findings for other machines. Failing to report a broken archive is itself a problem. */
async function keep(
  store: StorePlan,
  report: VerifyReport,
  settings: Settings,
  now: Date,
  tell: Tell,
): Promise<void> {
  try {
    await keepFindings(store, report, settings, now)
  } catch (error) {
    const isBroken = report.checked.some(
      (one) => one.store === store.view.name && one.status === 'broken' && !one.known,
    )
    const text = `${store.view.name}: what was found could not be kept there, so status and the backups do not know of it: ${messageOf(error)}`
    tell({ kind: isBroken ? 'problem' : 'warning', text })
  }
}

/** Reports what the plan already knows about a store. */
function tellBefore(store: StorePlan, { budget, sample }: VerifyPlan, tell: Tell): void {
  const { view, left, memory, complete } = store
  if (view.leftOut !== undefined) tell({ kind: 'left out', why: view.leftOut })
  for (const text of view.failures) tell({ kind: 'problem', text })
  if (view.shelves.length > 0 && view.failures.length === 0 && view.byItem.flat().length === 0) {
    // No archive of any item at all: the backups probably fill another folder or bucket.
    const text = `${view.name}: there is no archive of anything that was asked for`
    tell({ kind: complete ? 'problem' : 'warning', text })
  }
  for (const archive of left) {
    const seen = memory.seen(archive)
    if (seen?.status !== 'broken') continue
    const text = `${view.name}: ${archive.key} was found broken at ${seen.at}, and there was no budget to read it again`
    tell({ kind: isMadeUpFor(store, archive) ? 'warning' : 'problem', text })
  }
  const tooLarge = left.filter(({ bytes = 0 }) => bytes > (budget ?? 0))
  if (tooLarge.length === 0) return
  const names = firstOf(tooLarge.map(({ key }) => key))
  const enough = Math.max(...tooLarge.map(({ bytes = 0 }) => bytes))
  const text = `${view.name}: larger than the whole budget, so never read with it: ${names}. To read it: comfyume-backup verify --store ${view.name} --bytes ${enough}`
  // A success every month would hide that it was never read.
  const isStarved = !sample && tooLarge.some((archive) => memory.seen(archive) === undefined)
  tell({ kind: isStarved ? 'problem' : 'warning', text })
}
