import { expect, test } from 'vitest'
import { type ItemOutcome, type Report, reasonsAgainstShutdown } from '../../lib/backup/report.ts'
import { selectItems } from '../../lib/backup/select.ts'

const names = selectItems({ command: 'backup-verda' }).map(({ item }) => item.name)
/** A run in which everything was stored but for what is given. */
function report(
  over: Record<string, Partial<ItemOutcome> | undefined> = {},
  problems: string[] = [],
): Report {
  const items = names
    .filter((item) => !(item in over && over[item] === undefined))
    .map(
      (item): ItemOutcome => ({
        item,
        status: 'stored',
        stores: { r2: { status: 'stored' } },
        ...over[item],
      }),
    )
  const time = '2026-11-24T10:00:00Z'
  return {
    command: 'backup-verda',
    environment: 'production',
    startedAt: time,
    finishedAt: time,
    ok: true,
    items,
    rotated: [],
    problems,
  }
}

test('when everything reached its stores, or was there already, nothing speaks against it', () => {
  expect(reasonsAgainstShutdown(report())).toEqual([])
  expect(reasonsAgainstShutdown(report({ env: { status: 'unchanged' } }))).toEqual([])
})

test('what is not there and need not be is no reason; what was skipped otherwise is', () => {
  expect(
    reasonsAgainstShutdown(report({ nginx: { status: 'skipped', absent: true, reason: 'not there' } })),
  ).toEqual([])
  const absent = { status: 'skipped', absent: true, reason: 'not there' } as const
  expect(reasonsAgainstShutdown(report({ ssl: { ...absent, gone: true }, scripts: absent }))).toEqual([
    'ssl was skipped: not there',
    'scripts was skipped: not there',
  ])
  expect(reasonsAgainstShutdown(report({ 'home-dev': { notSaved: ['/home/dev/x is left out'] } }))).toEqual([
    'home-dev: /home/dev/x is left out',
  ])
  expect(
    reasonsAgainstShutdown(report({ env: { status: 'skipped', reason: 'is being backed up by pid 1' } })),
  ).toEqual(['env was skipped: is being backed up by pid 1'])
})

test('what the run did not look at is named', () => {
  expect(reasonsAgainstShutdown(report({ env: undefined, models: undefined }))).toEqual([
    'not looked at in this run: env, models',
  ])
})

test('what failed is named with its stores, and together with what failed for the same reason', () => {
  const away = 'verda: ssh does not answer\nand more'
  const failed = (reason?: string, ...stores: string[]): Partial<ItemOutcome> => ({
    status: 'failed',
    ...(reason === undefined ? {} : { reason }),
    stores: Object.fromEntries([
      ['mello', { status: 'stored' as const }],
      ...stores.map((store) => [store, { status: 'failed' as const }]),
    ]),
  })
  expect(
    reasonsAgainstShutdown(
      report({
        env: failed('r2: no right', 'r2', 'hetzner'),
        ufw: failed(away),
        nginx: failed(away, 'r2'),
        fail2ban: failed(away, 'r2'),
      }),
    ),
  ).toEqual(['fail2ban, ufw, nginx failed (r2): verda: ssh does not answer', 'env failed (r2, hetzner)'])
  expect(reasonsAgainstShutdown(report({ env: failed(undefined) }))).toEqual(['env failed'])
})

test('what is wrong beyond the items comes last', () => {
  expect(reasonsAgainstShutdown(report({ env: undefined }, ['the report could not be kept']))).toEqual([
    'not looked at in this run: env',
    'the report could not be kept',
  ])
})
