import { type Item, items } from '../inventory.ts'
import { byDay, type Cell } from './cell.ts'
import type { Finding } from './finding.ts'
import type { Runs } from './runs.ts'
import type { Seen } from './seen.ts'

/** An item whose only store is a private git repository. */
export interface CredentialsCell {
  item: Item
  cell: Cell
  findings: Finding[]
}

/**
 * Of what lies in a repository: when it was last committed, where somebody could look; else what the runs say. Where neither can be
 * known, because nothing that keeps reports was looked at, that is not a finding of its own.
 */
export function assessCredentials(seen: Seen, runs: Runs): CredentialsCell[] {
  return items
    .filter(({ capture }) => capture.kind === 'repository')
    .map((item) => {
      const { repository, now } = seen
      const run = runs.lastSuccess(item.name, 'git', now)
      const proven = repository?.problem === undefined ? run?.time : undefined
      const freshAt = later(repository?.time, repository?.time || !repository ? proven : undefined)
      const keepsReports = seen.shelves.some(({ store, state }) => store === 'r2' && state === 'seen')
      const state = freshAt ? 'by hand' : repository || keepsReports ? 'missing' : 'unknown'
      const cell: Cell = {
        item: item.name,
        title: item.title,
        store: 'git',
        state: repository?.problem === undefined ? state : 'unknown',
        asOf: now,
        ...(freshAt && { freshAt }),
        copies: freshAt ? 1 : 0,
        contents: freshAt ? 1 : 0,
        bytes: 0,
        history: repository?.time ? byDay([{ time: repository.time, bytes: 0 }]) : [],
      }
      return { item, cell, findings: findingsOf(item, cell, seen, runs) }
    })
}

function findingsOf({ name, title }: Item, { state }: Cell, { repository }: Seen, runs: Runs): Finding[] {
  const base = { store: 'git' as const, items: [name] }
  if (repository?.problem !== undefined) {
    return [
      {
        ...base,
        trouble: 'unreachable',
        alarm: true,
        what: `the repository of the credentials could not be looked at: ${repository.problem}`,
        todo: 'See that CREDENTIALS_REPO is right, and that this user may read it without being asked',
      },
    ]
  }
  if (state !== 'missing') return []
  const told = runs.reports.flatMap(({ items: all }) => all).find(({ item }) => item === name)
  const unset = told?.reason?.startsWith('CREDENTIALS_REPO') === true
  return [
    {
      ...base,
      trouble: 'missing',
      // Without the address nobody here can look, and the runs that were read need not be those that pushed.
      alarm: repository !== undefined || unset,
      what: repository
        ? `${title}: nothing was ever pushed to their repository`
        : `${title}: no run that was read has pushed them${unset ? `: ${told?.reason}` : ', and without CREDENTIALS_REPO nobody can look from here'}`,
      todo: 'On Mello: set CREDENTIALS_REPO to the private repository, and run: tsx scripts/backup-mello.ts --only credentials',
    },
  ]
}

function later(a: Date | undefined, b: Date | undefined): Date | undefined {
  return a && b ? (a > b ? a : b) : (a ?? b)
}
