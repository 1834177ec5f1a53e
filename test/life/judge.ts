import type { Job, Target } from '../../lib/backup/plan.ts'
import type { Ran } from './run.ts'
import type { Stock } from './stock.ts'
import { scaled } from './token.ts'
import { melloFree, shareFree, violation, type World } from './world.ts'

/**
 * Checks a run against the truth: what it reports as stored or unchanged must match the sources now.
 * Unless something stood in its way it must succeed: the first run after an outage catches up. May throw.
 */
export function judgeRun(world: World, stock: Stock, { plan, report }: Ran, excuses: Excuses): void {
  if (report === undefined) return
  for (const job of plan.jobs) {
    const outcome = report.items.find(({ item }) => item === job.item)
    if (outcome === undefined)
      throw violation(world, `the report of ${plan.command} says nothing of ${job.item}`)
    if (job.item === 'models' || job.capture.kind === 'repository') continue
    for (const target of job.targets) {
      const told = outcome.stores[target.store]
      if (told?.status === 'failed' || (told === undefined && outcome.status === 'failed'))
        judgeFailure(world, job, target, told?.error ?? outcome.reason ?? '', excuses)
      else if (told) judgeSuccess(world, stock, job, target, told.key as string, excuses)
      else if (!outcome.absent)
        throw violation(world, `the report of ${plan.command} says nothing of ${job.item} on ${target.store}`)
    }
  }
  for (const problem of report.problems)
    if (!excuses.problem(problem)) throw violation(world, `${plan.command} had a problem: ${problem}`)
}

/** What the simulation did on purpose, which the code under test cannot know. */
export interface Excuses {
  /** An archive that was damaged without a change in size, and is not found yet. */
  damaged(store: string, key: string): boolean
  /** A problem that follows from deliberate damage. */
  problem(text: string): boolean
}

function judgeSuccess(
  world: World,
  stock: Stock,
  { item }: Job,
  { store }: Target,
  key: string,
  excuses: Excuses,
): void {
  const copy = stock.copy(store, key)
  const { version } = world.ledger.current(item)
  if (copy?.version === version && !copy.half) return
  if (copy === undefined && excuses.damaged(store, key)) return
  throw violation(
    world,
    `a run says that ${item} is on ${store} as ${key}; there is ${copy ? `version ${copy.version}` : 'no good copy'}, and it is version ${version} now`,
  )
}

function judgeFailure(world: World, job: Job, { store }: Target, error: string, excuses: Excuses): void {
  if (reasonsToFail(world, job, store, error).length > 0 || excuses.problem(error)) return
  throw violation(world, `${job.item} was not brought to ${store}, though nothing stood in the way: ${error}`)
}

function reasonsToFail(world: World, { host, item }: Job, store: string, error: string): string[] {
  const { verda, share, r2, ledger } = world
  const size = scaled(ledger.current(item).bytes)
  return [
    ...(host === 'verda' && !verda.on ? ['Verda is off'] : []),
    ...(host === 'verda' && verda.restoring ? ['Verda is half restored'] : []),
    ...(store === 'sfs' && share !== 'well' ? [`the share is ${share}`] : []),
    ...(store === 'sfs' && shareFree(world) < 1.2 * size ? ['the share is full'] : []),
    ...(store === 'mello' && melloFree(world) < 1.2 * size ? ['Mello is full'] : []),
    ...(store === 'r2' && r2 === 'away' ? ['R2 is away'] : []),
    // Half of its content was cleared on purpose.
    ...(item === 'user-outputs' && error.includes('shrank from') ? ['it shrank'] : []),
  ]
}
