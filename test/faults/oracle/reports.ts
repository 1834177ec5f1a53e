import type { Finished } from '../run.ts'
import { sha256 } from '../sources.ts'
import type { StoreName, World } from '../world.ts'
import { type Backup, isDamaged } from './records.ts'
import type { View, Views } from './view.ts'

/** The parts of a report that the oracle reads. */
interface Outcome {
  status: string
  key?: string
  sha256?: string
  bytes?: number
  error?: string
  files?: { status: string; key: string; sha256?: string }[]
}

interface Report {
  ok: boolean
  items: {
    item: string
    status: string
    reason?: string
    busy?: string
    absent?: true
    stores: Record<string, Outcome>
  }[]
  problems: string[]
  safeToShutDown?: boolean
}

/** The runs of one round, and what they were asked to do. */
export interface Told {
  runs: readonly Finished[]
  now: string
  /** The stores that must have each item for exit code 0. */
  asked: Record<string, readonly string[]>
  /** A fault inside the runtime itself may end a run with a stack trace. */
  mayCrash?: boolean
}

export interface Evidence {
  world: World
  views: Views
  backups: readonly Backup[]
  unpack(backup: Backup, view: View): string
}

/** The number of items that backup-verda backs up by default; a safe shutdown needs all of them. */
const wholeOfVerda = 16

/** Clause 3: every run's report is true. */
export function checkReports(evidence: Evidence, told: Told): string[] {
  return told.runs.flatMap((run) => {
    const name = [run.command, ...run.args].join(' ')
    const problems: string[] = []
    const stack = /^\s+at .*[(/].*:\d+:\d+\)?$/m.exec(run.stderr)
    if (run.hung) problems.push(`was still running after ${Math.round(run.seconds)} s`)
    else if (stack && !told.mayCrash) problems.push(`died with a stack: ${run.stderr.slice(0, 500)}`)
    // A restore whose folder cannot be made never starts.
    const notBegun = run.command === 'restore' && run.code === 2 && run.stderr.includes(' cannot be made ')
    if (!run.hung && run.signal === null && ![0, 1, 75].includes(run.code ?? -1) && !notBegun)
      problems.push(`ended with ${run.code}: ${run.stderr.slice(-300)}`)
    if (run.command.startsWith('backup-') && run.signal === null && !run.hung)
      problems.push(...backup(evidence, told, run))
    return problems.map((problem) => `report: ${name} ${problem}`)
  })
}

function backup(evidence: Evidence, told: Told, run: Finished): string[] {
  let report: Report
  try {
    report = JSON.parse(run.stdout)
  } catch {
    if (run.code === 0) return [`ended with 0 and printed no report`]
    return run.stderr.trim() === '' ? ['failed without a word'] : []
  }
  const problems: string[] = []
  const allBusy = report.items.length > 0 && report.items.every(({ busy }) => busy !== undefined)
  const code = allBusy ? 75 : report.ok ? 0 : 1
  if (run.code !== code) problems.push(`ended with ${run.code}, and its report means ${code}`)
  if (report.ok && (report.problems.length > 0 || report.items.some(({ status }) => status === 'failed')))
    problems.push('says ok, and names what failed')
  for (const { item, status, reason, stores } of report.items) {
    const outcomes = Object.entries(stores)
    const failed = outcomes.filter(([, outcome]) => outcome.status === 'failed')
    if ((status === 'failed') !== (failed.length > 0 || (outcomes.length === 0 && status === 'failed')))
      problems.push(`says ${status} of ${item}, of which ${failed.length} stores failed`)
    if (status === 'failed' && !reason) problems.push(`does not say why ${item} failed`)
    for (const [store, outcome] of outcomes) {
      if (outcome.status !== 'stored' && outcome.status !== 'unchanged') continue
      const lie = isLie(evidence, told, item, store, outcome)
      if (lie !== undefined) problems.push(`says ${outcome.status} of ${item} in ${store}: ${lie}`)
    }
  }
  if (report.ok) problems.push(...lacking(told, report))
  if (report.safeToShutDown) {
    const done = report.items.filter(
      ({ status, absent }) => ['stored', 'unchanged'].includes(status) || absent,
    )
    if (done.length < report.items.length || report.items.length < wholeOfVerda || report.problems.length > 0)
      problems.push('says that a shutdown is safe, and not everything was stored')
  }
  return problems
}

/** A run that ended well has every item in each of its stores, unless another run was working on it. */
function lacking({ asked }: Told, report: Report): string[] {
  return Object.entries(asked).flatMap(([item, stores]) => {
    const outcome = report.items.find((one) => one.item === item)
    if (outcome === undefined) return [`is ok, and says nothing of ${item}`]
    if (outcome.busy !== undefined) return []
    return stores
      .filter((store) => !['stored', 'unchanged'].includes(outcome.stores[store]?.status ?? ''))
      .map((store) => `is ok, and ${item} is not in ${store}: ${JSON.stringify(outcome)}`)
  })
}

function isLie(
  evidence: Evidence,
  told: Told,
  item: string,
  store: string,
  outcome: Outcome,
): string | undefined {
  if (store === 'git') return isLieOfRepository(evidence.world)
  if (outcome.files !== undefined) return isLieOfModels(evidence, outcome.files)
  return isLieOfArchive(evidence, told, item, store as StoreName, outcome)
}

function isLieOfArchive(
  { world, views, backups, unpack }: Evidence,
  { now, runs }: Told,
  item: string,
  store: StoreName,
  { key = '', sha256: digest, bytes }: Outcome,
): string | undefined {
  const found = backups.find(
    (one) => one.store === store && (one.key === key || one.key.endsWith(`/${key}`)) && one.item === item,
  )
  if (found === undefined) return `there is no backup at ${key}`
  if (found.wrong !== undefined) return `${key}: ${found.wrong}`
  if (isDamaged(world, found)) return `${key} or what it builds on was damaged before, and is none`
  const content = views[store].get(found.key)?.content as Buffer
  // Another run in this round may have replaced the day's file on the share.
  if (found.sha256 !== digest && !(store === 'sfs' && runs.length > 1))
    return `${key} is another one than it says`
  if (found.sha256 === digest && content.length !== bytes)
    return `${key} has ${content.length} bytes, and not ${bytes}`
  const state = unpack(found, views[store])
  return world.isTruth(item, now, state) ? undefined : `${key} is not what the sources are`
}

function isLieOfModels(
  { world, views, backups }: Evidence,
  files: NonNullable<Outcome['files']>,
): string | undefined {
  for (const { key, status } of files) {
    if (status === 'failed') continue
    const model = sha256(world.readVerda(`mnt/sfs/models/${key}`))
    const [name] = [...views.r2.keys()].filter((one) => one === `${world.buckets[1]}/${key}`)
    if (name === undefined) return `there is no ${key}`
    if (views.r2.get(name)?.sha256 !== model) return `${key} is not the model`
    if (!backups.some((one) => one.key === name && one.wrong === undefined))
      return `${key} has no record that fits`
  }
  return undefined
}

function isLieOfRepository(world: World): string | undefined {
  const there = world.credentials()
  for (const [name, file] of [
    ['.env', 'home/dev/comfyume-v1/.env'],
    ['nginx/.htpasswd', 'home/dev/comfyume-v1/nginx/.htpasswd'],
  ] as const)
    if (!there.get(name)?.equals(world.readMello(file))) return `${name} in the repository is another one`
  return undefined
}
