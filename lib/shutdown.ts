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
    ...expected.flatMap((item) => against(outcomes.get(item))),
    ...report.problems,
  ]
}

/** Short: the item's own line says more. */
function against(outcome: ItemOutcome | undefined): string[] {
  if (outcome === undefined || outcome.absent) return []
  const { item, status, reason, stores } = outcome
  if (status === 'skipped') return [`${item} was skipped: ${reason}`]
  const failed = Object.keys(stores).filter((store) => stores[store]?.status === 'failed')
  return status === 'failed' ? [`${item} failed${failed.length > 0 ? ` (${failed.join(', ')})` : ''}`] : []
}
