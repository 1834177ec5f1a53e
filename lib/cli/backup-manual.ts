import type { Flag } from './flags.ts'
import type { Manual } from './help.ts'

export const backupFlags: readonly Flag[] = [
  { name: 'only', value: 'a,b', help: 'these items or groups, in the place of the default set' },
  { name: 'to', value: 'STORES', help: "of each item's stores only these: sfs, mello, r2, hetzner" },
  { name: 'quick', help: 'without the large ones: models and images; for backup-mello the outputs' },
  { name: 'accept-shrink', help: 'take archives of less than half of their predecessor' },
  { name: 'wait', value: 'SECONDS', help: 'wait so long for items that another process is backing up' },
  { name: 'dry-run', help: 'print the plan and do nothing' },
  { name: 'json', help: 'one JSON report on standard output, everything else on standard error' },
  { name: 'quiet', help: 'print only what went wrong' },
  { name: 'help', help: 'this page' },
]

export const backupExits: Manual['exits'] = [
  { code: 0, what: 'all done' },
  { code: 1, what: 'an item or a store failed; the rest went on' },
  { code: 2, what: 'wrong flags or settings; nothing was started' },
  { code: 75, what: 'every item asked for is being backed up by another process' },
]
