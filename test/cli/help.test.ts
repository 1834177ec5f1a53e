import { expect, test } from 'vitest'
import { backupExits, backupFlags } from '../../lib/cli/backup-manual.ts'
import { helpText } from '../../lib/cli/help.ts'

const manual = {
  command: 'backup-cron',
  summary: 'backs up',
  description: '\nWhen and how.\n',
  flags: [
    { name: 'only', value: 'a,b', help: 'first line\nsecond line' },
    { name: 'json', help: 'a report' },
  ],
  examples: [{ what: 'as cron does', command: 'tsx scripts/backup-cron.ts' }],
  settings: ['SFS_ROOT   the share'],
  exits: [{ code: 75, what: 'busy' }],
}

test('a help page has all its parts, in columns', () => {
  expect(helpText(manual)).toBe(`backup-cron: backs up

Usage
  tsx scripts/backup-cron.ts [flags]

When and how.

Flags
  --only a,b  first line
              second line
  --json      a report

Examples
  as cron does:
    tsx scripts/backup-cron.ts

Settings (environment, or .env beside package.json)
  SFS_ROOT   the share

Exit codes
  75  busy`)
})

test('the backup commands explain the flags and exit codes of the contract', () => {
  expect(backupFlags.map(({ name }) => name)).toEqual([
    'only',
    'to',
    'quick',
    'accept-shrink',
    'wait',
    'dry-run',
    'json',
    'quiet',
    'help',
  ])
  expect(backupExits.map(({ code }) => code)).toEqual([0, 1, 2, 75])
})
