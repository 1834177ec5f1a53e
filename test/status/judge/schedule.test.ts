import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { graceHours, longestGap, nextRuns, readCronRuns } from '../../../lib/status/judge/expected.ts'
import { readCrontab, runsOfADay } from '../../crontab-file.ts'

test.each(['verda', 'mello'])('the next runs of crontab/%s are at the moments of cron', (host) => {
  const text = readFileSync(path.resolve(import.meta.dirname, '../../../crontab', host), 'utf8')
  const backups = readCrontab(host).lines.filter(({ command }) => command.includes('/scripts/backup-'))
  const next = nextRuns(readCronRuns(host, text), new Date('2026-11-23T23:59:59Z'))
  const moments = next.map(({ time }) => ({ hour: time.getUTCHours(), minute: time.getUTCMinutes() }))
  expect(moments).toEqual(expect.arrayContaining(backups.map((line) => runsOfADay(line)[0])))
  expect(moments).toHaveLength(backups.length)
})

test.each([
  ['2026-11-24T10:00:00Z', '2026-11-24T14:10:00.000Z'],
  ['2026-11-24T14:09:59Z', '2026-11-24T14:10:00.000Z'],
  ['2026-11-24T14:10:00Z', '2026-11-24T18:10:00.000Z'],
  ['2026-12-31T18:10:00Z', '2027-01-01T02:10:00.000Z'],
])('after %s the next run at 2, 6, 14 or 18 h is at %s', (now, expected) => {
  const line = '10 2,6,14,18 * * * tsx /x/scripts/backup-verda.ts --only config --to r2 >>/log 2>&1'
  const [next] = nextRuns(readCronRuns('mello', line), new Date(now))
  expect(next).toEqual({
    host: 'mello',
    command: 'backup-verda',
    flags: '--only config --to r2',
    time: new Date(expected),
  })
})

test.each([
  '# 5 * * * * /x/scripts/backup-cron.ts >>/log',
  'x 5 1 * * * /x/scripts/backup-cron.ts >>/log',
  '5 * * * * /x/scripts/backup-nothing.ts >>/log',
  '50 1 * * * /usr/bin/find /home/dev >>/log',
])('%s runs no backup', (line) => expect(readCronRuns('mello', line)).toEqual([]))

test.each(['5 24 * * *', '5 1,24 * * *', '0 0 30 2 *', '@reboot'])('%s has no next time', (schedule) => {
  const runs = readCronRuns('mello', `${schedule} /x/scripts/backup-cron.ts >>/log`)
  expect(runs).toHaveLength(1)
  expect(nextRuns(runs, new Date('2026-11-24T10:00:00Z'))).toEqual([])
})

test.each([
  ['*/5 * * * *', '2026-11-24T10:05:00.000Z'],
  ['5 * * * 1', '2026-11-30T00:05:00.000Z'],
  [' 5 1-3 * jan,dec mon-fri', '2026-12-01T01:05:00.000Z'],
  ['@daily', '2026-11-25T00:00:00.000Z'],
])('%s is a schedule like any other', (schedule, expected) => {
  const runs = readCronRuns('mello', `${schedule} /x/scripts/backup-cron.ts`)
  expect(nextRuns(runs, new Date('2026-11-24T10:00:00Z')).map(({ time }) => time.toISOString())).toEqual([
    expected,
  ])
})

test.each([
  ['every', 1],
  [[3], 24],
  [[2, 6, 14, 18], 8],
  [[23, 1], 22],
] as const)('the longest gap of hours %j is %i h, and overdue is what is twice as old', (hours, gap) => {
  expect([longestGap(hours), graceHours(hours)]).toEqual([gap, 2 * gap])
})

test('the next of several lines is the first, and minute 0 and hour 0 are times too', () => {
  const text = [
    '30 12 * * * /x/scripts/backup-verda.ts   --quick   >>/log',
    '0 0 * * * /x/scripts/backup-mello.ts>>/log',
    '20 * * * * /x/scripts/backup-cron.ts >>/log',
  ].join('\n')
  const next = nextRuns(readCronRuns('verda', text), new Date('2026-11-24T10:25:30Z'))
  expect(next.map(({ command, flags, time }) => [command, flags, time.toISOString()])).toEqual([
    ['backup-cron', '', '2026-11-24T11:20:00.000Z'],
    ['backup-verda', '--quick', '2026-11-24T12:30:00.000Z'],
    ['backup-mello', '', '2026-11-25T00:00:00.000Z'],
  ])
})
