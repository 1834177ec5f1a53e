import { describe, expect, test } from 'vitest'
import { readCronLine, readCrontab, toolkitRun } from '../lib/crontab.ts'
import { readBackupLine } from '../lib/doctor/checks/cron.ts'

test('a crontab is read as cron reads it', () => {
  const text = 'PATH = "/a:/b"\n# 1 2 3 4 5 no\n\n 5 */2 1,2 jan-mar mon  /bin/x  y\n@daily z\nnonsense\n'
  expect(readCrontab(text)).toEqual({
    variables: { PATH: '/a:/b' },
    lines: [
      { schedule: '5 */2 1,2 jan-mar mon', command: '/bin/x  y' },
      { schedule: '@daily', command: 'z' },
    ],
  })
})

test('cron ends a command at a %, unless it is escaped', () => {
  expect(readCronLine('@daily a >>/b-$(date +%F).log')).toEqual({
    schedule: '@daily',
    command: 'a >>/b-$(date +',
    cut: true,
  })
  expect(readCronLine('@daily a >>/b-$(date +\\%F).log')).toEqual({
    schedule: '@daily',
    command: 'a >>/b-$(date +%F).log',
  })
})

describe('the command of this toolkit in a line', () => {
  const run = { name: 'backup-cron', argv: ['--only', 'env'] }
  const paths = ['/opt/x/scripts/backup-cron.ts']
  test.each<[string, ReturnType<typeof toolkitRun>]>([
    [
      '/opt/x/tsx /opt/x/scripts/backup-cron.ts --only env >>/var/log/b.log 2>&1',
      { ...run, program: '/opt/x/tsx', paths, log: '/var/log/b.log' },
    ],
    [
      'exec >>/log 2>&1; /opt/x/tsx /opt/x/scripts/backup-cron.ts --only "env"',
      { ...run, program: '/opt/x/tsx', paths, log: '/log' },
    ],
    ['cd /opt/x && npx tsx scripts/backup-cron.ts --only env', { ...run, program: 'npx', paths: [] }],
    [
      '/opt/x/scripts/comfyume-backup backup-cron --only env>>/log 2>&1',
      { ...run, program: '/opt/x/scripts/comfyume-backup', paths: [], log: '/log' },
    ],
    ['comfyume-backup verify', { name: 'verify', argv: [], program: 'comfyume-backup', paths: [] }],
    // A lock file that flock creates is none of the paths that must be there.
    [
      '/usr/bin/flock -n /run/b.lock /opt/tsx /opt/x/scripts/backup-cron.ts --only env',
      { ...run, program: '/usr/bin/flock', paths: ['/opt/tsx', ...paths] },
    ],
    [
      'KEY=secret B=/b /opt/tsx /opt/x/scripts/backup-cron.ts --only env 2>/dev/null >>/log',
      { ...run, program: '/opt/tsx', paths, log: '/dev/null' },
    ],
    ['/usr/bin/find /home -name backup-cron.ts', undefined],
    ['my-backup-cron.sh', undefined],
  ])('%s', (command, expected) => {
    expect(toolkitRun({ schedule: '@daily', command })).toEqual(expected)
  })
})

describe('what a line backs up', () => {
  test.each([
    ['/opt/x/tsx /opt/x/scripts/backup-cron.ts --only env >>/b.log 2>&1', [['env', 'sfs']]],
    ['npx tsx scripts/backup-mello.ts --only credentials', [['credentials', 'git']]],
    ['tsx scripts/backup-verda.ts --only models --quick', []],
    ['tsx scripts/verify.ts --bytes 200G', [['verify', 'all']]],
    ['tsx scripts/verify.ts --drill', []],
    ['tsx scripts/verify.ts --only env', []],
    [
      'tsx scripts/backup-verda.ts --only models --to=r2',
      [
        ['models', 'r2'],
        ['models', 'hetzner'],
      ],
    ],
  ])('%s', (command, covers) => {
    const line = readBackupLine({ schedule: '@daily', command })
    expect(line?.covers.map(({ item, store }) => [item, store])).toEqual(covers)
  })

  test.each(['tsx scripts/status.ts', '/usr/bin/find /home -name backup-cron.ts'])('nothing: %s', (command) =>
    expect(readBackupLine({ schedule: '@daily', command })).toBeUndefined(),
  )

  test.each([
    ['@daily', 'tsx scripts/backup-cron.ts --dry-run', /--dry-run/],
    ['0 0 30 2 *', 'tsx scripts/backup-cron.ts', /never comes/],
    ['@daily', 'tsx scripts/backup-cron.ts --olny env', /--olny is not known/],
  ])('nothing, and why: %s %s', (schedule, command, refused) => {
    expect(readBackupLine({ schedule, command })).toMatchObject({
      covers: [],
      refused: expect.stringMatching(refused),
    })
  })

  test('secrets before the program are not shown', () => {
    const line = readBackupLine({
      schedule: '@daily',
      command: 'KEY=secret /opt/tsx /opt/scripts/backup-cron.ts --only env >>/log 2>&1',
    })
    expect(JSON.stringify({ ...line, command: '' })).not.toContain('secret')
  })
})
