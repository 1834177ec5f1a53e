import fc from 'fast-check'
import { expect, test } from 'vitest'
import { runsOf } from '../../lib/status/runs.ts'
import { readReport } from '../../lib/status/stored-report.ts'

test('whatever lies under the name of a report, reading it fails in no way', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.object().map((value) => JSON.stringify(value)),
      ),
      (text) => {
        expect(() => runsOf([text]).lastSuccess('env', 'sfs', new Date())).not.toThrow()
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

const report = (hour: string, items: object[]) =>
  JSON.stringify({ command: 'backup-cron', startedAt: `2026-11-24T${hour}:00:00Z`, ok: true, items })
const item = (status: string, more = {}) => ({
  item: 'env',
  status,
  stores: { sfs: { status, key: 'k', ...more } },
})

test('a problem that is no text is passed over', () => {
  const text = report('05', []).replace('{', '{"problems":["no room",{"toString":[]},null],')
  expect(readReport(text)?.problems).toEqual(['no room'])
})

test('the last success is behind later failures, and skips are none of the two', () => {
  const runs = runsOf([
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

test('what failed before any store was tried has failed in all of them', () => {
  const runs = runsOf([
    report('05', [{ item: 'credentials', status: 'failed', reason: 'git push', stores: {} }]),
  ])
  expect(runs.lastOutcome('credentials', 'git', new Date('2026-11-24T10:00:00Z'))?.error).toBe('git push')
})

test('a failure is not the last word where the store has a newer report that was not read', () => {
  const failed = [report('05', [item('failed', { error: 'no share' })])]
  const limit = new Date('2026-11-24T10:00:00Z')
  const unread = (hour: string, store: 'sfs' | 'r2', command = 'backup-cron') => [
    { command, store, time: new Date(`2026-11-24T${hour}:00:00Z`) },
  ]
  expect(runsOf(failed, unread('06', 'sfs')).lastOutcome('env', 'sfs', limit)).toBeUndefined()
  for (const other of [unread('04', 'sfs'), unread('06', 'r2'), unread('06', 'sfs', 'backup-verda')])
    expect(runsOf(failed, other).lastOutcome('env', 'sfs', limit)?.status).toBe('failed')
})
