import { expect, test } from 'vitest'
import { backupManual } from '../../lib/backup/flags.ts'
import { flag, list, word } from '../../lib/cli/flags.ts'
import { helpText, type Manual } from '../../lib/cli/help.ts'

const manual: Manual = {
  command: 'backup-cron',
  summary: 'backs up',
  description: '\nWhen and how.\n',
  flags: {
    machine: word(['verda', 'mello']),
    only: list('a,b', 'first line\nsecond line'),
    dryRun: flag('nothing'),
  },
  examples: { 'as cron does': 'tsx scripts/backup-cron.ts' },
  settings: ['SFS_ROOT'],
  exits: { 0: 'all done', 75: 'busy' },
}

test('a help page has all its parts, in columns', () => {
  expect(
    helpText(manual, [{ name: 'SFS_ROOT', kind: 'folder', says: 'the share' }]),
  ).toBe(`backup-cron: backs up

Usage
  comfyume-backup backup-cron verda|mello [flags]
  tsx scripts/backup-cron.ts verda|mello [flags]

When and how.

Flags
  --only a,b  first line
              second line
  --dry-run   nothing
  -h, --help  this page
  --version   print the version

Examples
  as cron does:
    tsx scripts/backup-cron.ts

Settings (from the environment, or .env next to package.json; .env.example has them all)
  SFS_ROOT  the share

Exit codes
  0   all done
  75  busy`)
})

test('the backup commands explain the flags and exit codes of the contract', () => {
  const { flags, exits } = backupManual('backup-cron')
  expect(Object.keys(flags)).toEqual([
    'only',
    'to',
    'quick',
    'acceptShrink',
    'limit',
    'wait',
    'dryRun',
    'json',
    'quiet',
  ])
  expect(Object.keys(exits)).toEqual(['0', '1', '2', '75'])
})
