import { type CommandName, type StoreName, stores } from '../inventory.ts'
import { minuteOf } from './age.ts'
import { type Finding, someOf } from './finding.ts'
import { runAgain } from './run-again.ts'
import type { Runs } from './runs.ts'
import type { StoredReport } from './stored-report.ts'

interface Failure {
  report: StoredReport
  error: string
  items: Set<string>
  stores: Set<string>
}

/** What failed when it was last tried, whenever that was; failures of one run for one reason are one finding. */
export function runFindings(
  runs: Runs,
  expected: readonly { item: { name: string }; store: StoreName | 'git'; commands: readonly string[] }[],
  limit: Date,
): Finding[] {
  const failures = new Map<string, Failure>()
  const newest = new Set<StoredReport>()
  for (const { item, store } of expected) {
    const last = runs.lastOutcome(item.name, store, limit)
    if (!last) continue
    newest.add(last.report)
    if (last.status !== 'failed') continue
    const { report, error = 'it does not say why' } = last
    const key = `${report.command} ${report.startedAt.getTime()} ${error}`
    const failure = failures.get(key) ?? { report, error, items: new Set(), stores: new Set() }
    failures.set(key, failure)
    failure.items.add(item.name)
    failure.stores.add(store)
  }
  return [
    ...[...failures.values()].map(failed),
    ...[...newest].flatMap((report) => report.problems.map((problem) => troubled(report, problem))),
    ...runs.reports.filter(({ startedAt }) => startedAt > limit).map(fromTheFuture),
  ]
}

function failed({ report, error, items, stores: names }: Failure): Finding {
  const [store] = names
  const titles = [...names].map((name) => stores[name as StoreName]?.title ?? 'its git repository')
  return {
    trouble: 'failed run',
    alarm: true,
    ...(names.size === 1 ? { store: store as StoreName } : {}),
    items: [...items],
    what: `${report.command} of ${minuteOf(report.startedAt)} failed for ${someOf([...items], 8)} (${titles.join(', ')}): ${error.split('\n')[0]}`,
    todo: `Mend that. ${runAgain(report.command as CommandName, [...items])}`,
  }
}

function troubled({ command, startedAt }: StoredReport, problem: string): Finding {
  return {
    trouble: 'failed run',
    alarm: true,
    items: [],
    what: `${command} of ${minuteOf(startedAt)} had a problem: ${problem}`,
    todo: 'Mend that; the next run tells whether it is gone',
  }
}

function fromTheFuture({ command, startedAt }: StoredReport): Finding {
  return {
    trouble: 'future',
    alarm: true,
    items: [],
    what: `the report of a run of ${command} is from ${minuteOf(startedAt)}, which is still to come: a clock was wrong, and it counts for nothing`,
    todo: 'Set the clocks of Verda and Mello (timedatectl set-ntp true)',
  }
}
