import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { Oracle } from '../oracle.ts'
import type { Finished } from '../run.ts'
import { sources, stateOf } from '../sources.ts'
import type { World } from '../world.ts'

interface Outcome {
  item: string
  status: string
  source?: string
  key?: string
  time?: string
}

/**
 * Clause 5 of a finished restore: each restored item matches its sources then, its source had no newer copy,
 * and nothing is half-restored.
 */
export function checkRestored(world: World, oracle: Oracle, run: Finished, root: string): string[] {
  let outcomes: Outcome[]
  try {
    outcomes = JSON.parse(run.stdout).items
  } catch {
    return run.code === 0 ? ['restore: ended with 0 and printed no report'] : []
  }
  const problems = outcomes.flatMap((outcome) => wrongOf(world, oracle, outcome, root))
  if (run.code === 0) {
    if (world.isMarked(root)) problems.push('the marker is still there')
    const left = existsSync(root) ? (readdirSync(root, { recursive: true }) as string[]) : []
    problems.push(
      ...left
        .filter((name) => path.basename(name).startsWith('.comfyume-restore'))
        .map((name) => `left over: ${name}`),
    )
  }
  return problems.map((problem) => `restore: ${problem}`)
}

function wrongOf(
  world: World,
  oracle: Oracle,
  { item, status, source, key = '', time = '' }: Outcome,
  root: string,
): string[] {
  const of = sources[item]
  if (of === undefined || of.host === 'images' || item === 'credentials' || status !== 'restored') return []
  const state = stateOf(root, of)
  if (!world.isTruth(item, time, state))
    return [
      `${item} of ${time} from ${source} ${key} is not what it was then: ${world.untruth(item, time, state)}`,
    ]
  if ([...world.damaged].some((name) => name.startsWith(`${source} `) && name.endsWith(`/${key}`)))
    return [`${item} came from ${source} ${key}, which is damaged`]
  const newest = oracle
    .good()
    .filter((backup) => backup.store === source && backup.item === item && backup.time <= world.nowOfLastRun)
    .map((backup) => backup.time)
    .sort()
    .at(-1)
  return newest !== undefined && newest > time
    ? [`${item} of ${time} from ${source}, which has one of ${newest}`]
    : []
}
