import { type Item, items } from '../../inventory.ts'
import { minuteOf } from '../../text.ts'
import type { Seen } from '../look/seen.ts'
import { byDay, type Cell, emptyCell } from './cell.ts'
import type { StatusFinding } from './finding.ts'
import { latest, type Runs } from './runs.ts'

/** An item whose only store is a private git repository. */
export interface CredentialsCell {
  item: Item
  cell: Cell
  findings: StatusFinding[]
}

/**
 * For each item in a repository: its last commit if visible, else what runs report. If neither can be known
 * because no store with reports was read, that is no separate finding.
 */
export function assessCredentials(seen: Seen, runs: Runs): CredentialsCell[] {
  return items
    .filter(({ capture }) => capture.kind === 'repository')
    .map((item) => {
      if (seen.withoutRepository)
        return { item, cell: emptyCell(item, 'git', 'unknown', seen.now), findings: [] }
      const { repository, now } = seen
      const run = runs.lastSuccess(item.name, 'git', now)
      const proven = repository?.problem === undefined ? run?.time : undefined
      const freshAt = latest(repository?.time, repository?.time || !repository ? proven : undefined)
      const keepsReports = seen.shelves.some(({ store, state }) => store === 'r2' && state === 'seen')
      // What was pushed was not compared with what is there now.
      const isUnknown = repository?.problem !== undefined || repository?.uncompared !== undefined
      const state = freshAt ? 'by hand' : repository || keepsReports ? 'missing' : 'unknown'
      const cell: Cell = {
        ...emptyCell(item, 'git', isUnknown ? 'unknown' : state, now),
        freshAt,
        copies: freshAt ? 1 : 0,
        contents: freshAt ? 1 : 0,
        history: repository?.time ? byDay([{ time: repository.time, bytes: 0 }]) : [],
      }
      return { item, cell, findings: findingsOf(item, cell, seen, runs) }
    })
}

function findingsOf(
  { name, title }: Item,
  { state, freshAt }: Cell,
  { repository }: Seen,
  runs: Runs,
): StatusFinding[] {
  const base = { store: 'git' as const, items: [name] }
  if (repository?.problem !== undefined) {
    return [
      {
        ...base,
        trouble: 'unreachable',
        status: 'wrong' as const,
        what: `the repository of the credentials is unreachable: ${repository.problem}`,
        todo: 'Check that CREDENTIALS_REPO is right, and that this user can read it without a prompt',
      },
    ]
  }
  const push = 'On Mello run: comfyume-backup backup-mello --only credentials'
  if (repository?.changed?.length) {
    const when = repository.time ? ` on ${minuteOf(repository.time)}` : ''
    const what = `${title}: ${repository.changed.join(', ')} on this machine is not what was pushed${when}`
    return [{ ...base, trouble: 'overdue', status: 'wrong' as const, what, todo: push }]
  }
  const told = runs.reports.flatMap(({ items: all }) => all).find(({ item }) => item === name)
  // Skipped without another process or an absent source: never pushed, for the reason in the report.
  const isUnset =
    repository === undefined && told?.status === 'skipped' && !told.absent && told.busy === undefined
  if (state !== 'missing' && !isUnset) return []
  return [
    {
      ...base,
      trouble: 'missing',
      // Without an address it cannot be checked here, and the reports read may not be of the runs that push.
      status: repository !== undefined || isUnset ? 'wrong' : 'warning',
      what: repository
        ? `${title}: nothing has been pushed to their repository yet`
        : freshAt
          ? `${title}: last pushed on ${minuteOf(freshAt)}, and no longer: ${told?.reason}`
          : `${title}: no run that was read has pushed them${isUnset ? `: ${told?.reason}` : ', and without CREDENTIALS_REPO they cannot be checked from here'}`,
      todo: 'On Mello: set CREDENTIALS_REPO to the private repository, and run: comfyume-backup backup-mello --only credentials',
    },
  ]
}
