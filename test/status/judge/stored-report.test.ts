import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { StoreName } from '../../../lib/inventory.ts'
import { readReport, runsOf } from '../../../lib/status/judge/runs.ts'

test('whatever lies under the name of a report, reading it fails in no way', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.object().map((value) => JSON.stringify(value)),
      ),
      (text) => {
        expect(() => runsOf([{ text, from: 'r2' }]).lastSuccess('env', 'sfs', new Date())).not.toThrow()
      },
    ),
  )
})

test.each([
  '',
  'null',
  '[]',
  '{}',
  '{"command":"backup-cron","startedAt":"yesterday","items":[]}',
  '{"command":7,"startedAt":"2026-11-24T10:00:00Z","items":[]}',
  '{"command":"backup-cron","startedAt":"2026-11-24T10:00:00Z","items":{}}',
])('%j is no report', (text) => expect(readReport(text)).toBeUndefined())

const runsFrom = (from: StoreName, texts: string[]) => runsOf(texts.map((text) => ({ text, from })))
const report = (hour: string, items: object[]) =>
  JSON.stringify({ command: 'backup-cron', startedAt: `2026-11-24T${hour}:00:00Z`, ok: true, items })
const item = (status: string, more = {}) => ({
  item: 'env',
  status,
  stores: { sfs: { status, key: 'k', ...more } },
})

test('a problem that is no text is skipped', () => {
  const text = report('05', []).replace('{', '{"problems":["no room",{"toString":[]},null],')
  expect(readReport(text)?.problems).toEqual(['no room'])
})

test('the last success is behind later failures, and skips are none of the two', () => {
  const runs = runsFrom('sfs', [
    report('05', [item('stored')]),
    report('06', [item('unchanged')]),
    report('07', [item('failed', { error: 'no room' })]),
    report('08', [{ item: 'env', status: 'skipped', reason: 'is being backed up by pid 1', stores: {} }]),
  ])
  const limit = new Date('2026-11-24T10:00:00Z')
  expect(runs.lastSuccess('env', 'sfs', limit)?.time).toEqual(new Date('2026-11-24T06:00:00Z'))
  expect(runs.lastOutcome('env', 'sfs', limit)).toMatchObject({ status: 'failed', error: 'no room' })
  expect(runs.lastSuccess('env', 'sfs', new Date('2026-11-24T05:30:00Z'))?.time).toEqual(
    new Date('2026-11-24T05:00:00Z'),
  )
})

test('an item of which something could not be read has failed, and what could be is a success', () => {
  const incomplete = { ...item('unchanged'), status: 'failed', incomplete: 'a file is closed' }
  const runs = runsFrom('sfs', [report('05', [incomplete])])
  const limit = new Date('2026-11-24T10:00:00Z')
  expect(runs.lastOutcome('env', 'sfs', limit)).toMatchObject({ status: 'failed', error: 'a file is closed' })
  expect(runs.lastSuccess('env', 'sfs', limit)?.key).toBe('k')
})

test('what failed before any store was tried has failed in all of them', () => {
  const runs = runsFrom('r2', [
    report('05', [{ item: 'credentials', status: 'failed', reason: 'git push', stores: {} }]),
  ])
  expect(runs.lastOutcome('credentials', 'git', new Date('2026-11-24T10:00:00Z'))?.error).toBe('git push')
})

test('a failure is not the last word where the store has a newer report that was not read', () => {
  const failed = [{ text: report('05', [item('failed', { error: 'no share' })]), from: 'sfs' as const }]
  const limit = new Date('2026-11-24T10:00:00Z')
  const unread = (hour: string, store: 'sfs' | 'r2', command = 'backup-cron') => [
    { command, store, time: new Date(`2026-11-24T${hour}:00:00Z`) },
  ]
  expect(runsOf(failed, unread('06', 'sfs')).lastOutcome('env', 'sfs', limit)).toBeUndefined()
  for (const other of [unread('04', 'sfs'), unread('06', 'r2'), unread('06', 'sfs', 'backup-verda')])
    expect(runsOf(failed, other).lastOutcome('env', 'sfs', limit)?.status).toBe('failed')
})

test('a report on the share tells of the share alone, for whoever has Verda can write one', () => {
  const limit = new Date('2026-11-24T10:00:00Z')
  const everywhere = (command: string, hour: string) =>
    JSON.stringify({
      command,
      startedAt: `2026-11-24T${hour}:00:00Z`,
      ok: true,
      safeToShutDown: true,
      items: [
        {
          item: 'env',
          status: 'unchanged',
          stores: { sfs: { status: 'unchanged' }, r2: { status: 'unchanged' } },
        },
        { item: 'ssl', status: 'skipped', absent: true, stores: {} },
      ],
    })
  const forged = ['backup-cron', 'backup-verda', 'backup-mello'].map((command) => everywhere(command, '09'))
  const runs = runsFrom('sfs', forged)
  expect(runs.lastSuccess('env', 'sfs', limit)).toBeDefined()
  expect(runs.lastSuccess('env', 'r2', limit)).toBeUndefined()
  expect(runs.reports.map(({ command, safeToShutDown }) => [command, safeToShutDown])).toEqual([
    ['backup-cron', undefined],
  ])
  expect([runs.isAbsent('ssl', 'sfs', limit), runs.isAbsent('ssl', 'r2', limit)]).toEqual([true, false])

  const told = runsFrom('r2', [everywhere('backup-verda', '08')])
  expect(told.lastSuccess('env', 'r2', limit)?.time).toEqual(new Date('2026-11-24T08:00:00Z'))
  expect(told.isAbsent('ssl', 'r2', limit)).toBe(true)
})
