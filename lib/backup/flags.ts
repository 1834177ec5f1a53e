import { type Asked, flag, list, number, planFlags } from '../cli/flags.ts'
import type { CommandName } from '../inventory.ts'
import { rates, readRate } from '../text.ts'

export const backupFlags = {
  only: list('a,b', 'these items or groups instead of the default set'),
  to: list('STORES', "only these of each item's stores: sfs, mello, r2, hetzner"),
  quick: flag('leave out models and images; for backup-mello the outputs'),
  acceptShrink: flag('accept an archive of less than half the size of the one before'),
  limit: {
    value: 'RATE',
    help: 'the most bytes a second to object storage, such as 20M; default: UPLOAD_LIMIT',
    read: readRate,
    takes: rates,
  },
  wait: number('SECONDS', 'wait this long for items that another process is backing up', {
    least: 0,
    most: 999_999,
  }),
  ...planFlags,
  dryRun: flag('print the plan and what would go wrong, and do nothing'),
}

export type AskedOfBackup = Asked<typeof backupFlags>

/** The common part of the three backup commands' manuals. */
export const backupManual = (command: CommandName) => ({
  command,
  flags: backupFlags,
  exits: {
    0: 'all done',
    1: 'an item, a store, the log or a ping failed, or one item was busy; the rest went on',
    2: 'wrong flags or settings; nothing was started',
    75: 'every item asked for is being backed up by another process',
  },
  check: (asked: AskedOfBackup) => backupCheck(command, asked),
})

/** The monitoring check of a run: one for each cron line with different arguments. */
export function backupCheck(
  command: CommandName,
  { only = ['default'], to = [], quick }: AskedOfBackup,
): string {
  return [command, ...only, ...to, ...(quick ? ['quick'] : [])].join('-').replaceAll(':', '-')
}
