import { nameAlone } from '../../backup/select.ts'
import { type CommandName, type StoreName, stores } from '../../inventory.ts'
import { groupBy, minuteOf, someOf } from '../../text.ts'
import { type Cell, clockToleranceMs } from './cell.ts'
import { runAgain, type StatusFinding } from './finding.ts'
import type { Assessed } from './of-cells.ts'
import type { Runs, StoredReport } from './runs.ts'

/** Backed up before, but gone from its host: no run fails, because optional items may be missing. */
export function goneFindings(assessed: readonly Assessed[], runs: Runs): StatusFinding[] {
  const gone = new Map<string, { store: StoreName; newest: NonNullable<Cell['newest']>; at: Date }>()
  for (const { expected, cell } of assessed) {
    const last = lastLookAt(expected, cell, runs)
    if (!cell.newest || !last?.item.absent) continue
    const known = gone.get(cell.item)
    if (!known || known.newest.time < cell.newest.time)
      gone.set(cell.item, { store: expected.store, newest: cell.newest, at: last.report.startedAt })
  }
  return [...gone].map(([item, { store, newest, at }]) => ({
    trouble: 'gone',
    status: 'wrong',
    items: [item],
    what: `${item} is gone from its host, as the run of ${minuteOf(at)} found; ${newest.key} on ${stores[store].title} has it as of ${minuteOf(newest.time)}`,
    todo: `Put it back: comfyume-backup restore --only ${nameAlone(item)}`,
  }))
}

/** Warnings of an item's newest run and newest record: they apply until a newer one is known. */
export function warningFindings(assessed: readonly Assessed[], runs: Runs): StatusFinding[] {
  const told = assessed.flatMap(({ expected, cell }) => {
    const { item, store } = expected
    const last = lastLookAt(expected, cell, runs)
    // Items that are gone have their own finding.
    const isTold = cell.state === 'unknown' || last?.item.absent
    const all = isTold ? [] : (last?.item.warnings ?? cell.warnings ?? [])
    return all.map((text) => ({ item: item.name, store, what: `${item.name}: ${text}` }))
  })
  return [...groupBy(told, ({ what }) => what)].map(([what, [{ item, store }, ...more]]) => ({
    trouble: 'warning',
    status: 'warning',
    store: more.length === 0 ? store : undefined,
    items: [item],
    what,
    todo: 'The backup is otherwise good. This is shown until a backup has no such warning',
  }))
}

function lastLookAt({ item, store }: Assessed['expected'], { asOf }: Cell, runs: Runs) {
  return runs.lastLook(item.name, store, new Date(asOf.getTime() + clockToleranceMs))
}

/** Items whose last attempt failed, however old; failures of one run for one reason share a finding. */
export function runFindings(
  runs: Runs,
  expected: readonly { item: { name: string }; store: StoreName | 'git'; commands: readonly string[] }[],
  limit: Date,
): StatusFinding[] {
  const last = expected.flatMap(({ item, store }) => {
    const outcome = runs.lastOutcome(item.name, store, limit)
    return outcome ? [{ ...outcome, item: item.name, store }] : []
  })
  const failures = groupBy(
    last.filter(({ status }) => status === 'failed'),
    ({ report, error }) => `${report.command} ${report.startedAt.getTime()} ${error}`,
  )
  return [
    ...[...failures.values()].map(failed),
    ...[...new Set(last.map(({ report }) => report))].flatMap(troubled),
    ...runs.reports
      .filter(({ startedAt }) => startedAt > limit)
      .map((report) => fromTheFuture(report, isOvercome(report, runs, limit))),
  ]
}

interface Failure {
  report: StoredReport
  error?: string
  item: string
  store: StoreName | 'git'
}

function failed(alike: readonly [Failure, ...Failure[]]): StatusFinding {
  const [{ report, error = 'it does not say why' }] = alike
  const names = [...new Set(alike.map(({ store }) => store))]
  const items = [...new Set(alike.map(({ item }) => item))]
  const titles = names.map((name) => (name === 'git' ? 'its git repository' : stores[name].title))
  return {
    trouble: 'failed run',
    status: 'wrong',
    store: names.length === 1 ? names[0] : undefined,
    items,
    what: `${report.command} of ${minuteOf(report.startedAt)} failed for ${someOf(items, 8)} (${titles.join(', ')}): ${error.split('\n')[0]}`,
    todo: `Fix this. ${runAgain(report.command as CommandName, items)}`,
  }
}

function troubled({ command, startedAt, problems }: StoredReport): StatusFinding[] {
  return problems.map((problem) => ({
    trouble: 'failed run',
    status: 'wrong',
    items: [],
    what: `${command} of ${minuteOf(startedAt)} had a problem: ${problem}`,
    todo: 'Fix this; the next run shows whether it is gone',
  }))
}

/** Whether a store has a later good report of the same command, from a correct clock. */
function isOvercome(future: StoredReport, { reports }: Runs, limit: Date): boolean {
  const taken = future.modified
  return reports.some(
    ({ command, ok, startedAt, modified }) =>
      command === future.command && ok && startedAt <= limit && taken && modified && modified > taken,
  )
}

function fromTheFuture({ command, startedAt, key, place }: StoredReport, overcome: boolean): StatusFinding {
  const file = key === undefined ? `the report of a run of ${command}` : `${key} on ${place}`
  return {
    trouble: 'future',
    status: overcome ? 'warning' : 'wrong',
    items: [],
    what: `${file} is dated ${minuteOf(startedAt)}, in the future: a clock was wrong, and the report is ignored`,
    todo: overcome
      ? 'A later run had the right time, so nothing needs to be done'
      : 'Set the clocks of Verda and Mello (timedatectl set-ntp true), and run the command again',
  }
}
