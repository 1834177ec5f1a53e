import type { ItemOutcome, Report } from './report.ts'
import { selectItems } from './select.ts'

/**
 * Why Verda may not be shut down after this run of backup-verda; nothing means that it may. Everything that the command backs up must have
 * reached every store of its own in this very run: what was left out or was busy elsewhere is not known to be safe.
 */
export function reasonsAgainstShutdown(report: Report): string[] {
  const outcomes = new Map(report.items.map((outcome) => [outcome.item, outcome]))
  const expected = selectItems({ command: 'backup-verda' }).map(({ item }) => item.name)
  const notLookedAt = expected.filter((item) => !outcomes.has(item))
  return [
    ...(notLookedAt.length > 0 ? [`not looked at in this run: ${notLookedAt.join(', ')}`] : []),
    ...report.items.flatMap(({ item, status, reason, absent }) =>
      status === 'skipped' && !absent ? [`${item} was skipped: ${reason}`] : [],
    ),
    ...failures(report.items),
    ...report.problems,
  ]
}

/** Short: an item's own line says more. Items that failed for one reason, such as a host that is away, are named together with it. */
function failures(items: readonly ItemOutcome[]): string[] {
  const alike = new Map<string, ItemOutcome[]>()
  for (const outcome of items) {
    const reason = outcome.reason ?? ''
    if (outcome.status === 'failed') alike.set(reason, [...(alike.get(reason) ?? []), outcome])
  }
  return [...alike].map(([reason, outcomes]) => {
    const names = outcomes.map(({ item }) => item).join(', ')
    const failed = outcomes.flatMap(({ stores }) =>
      Object.keys(stores).filter((store) => stores[store]?.status === 'failed'),
    )
    const where = failed.length > 0 ? ` (${[...new Set(failed)].join(', ')})` : ''
    return `${names} failed${where}${outcomes.length > 1 ? `: ${reason.split('\n')[0]}` : ''}`
  })
}
