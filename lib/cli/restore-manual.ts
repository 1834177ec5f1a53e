import type { Flag } from './flags.ts'
import type { Manual } from './help.ts'

export const restoreFlags: readonly Flag[] = [
  { name: 'yes', help: 'do not ask, begin' },
  { name: 'only', value: 'a,b', help: 'these items or groups, and nothing of the machine besides' },
  { name: 'at', value: 'DATE[-HH]', help: 'as it was at the end of that day or hour (UTC)' },
  { name: 'from', value: 'SOURCES', help: 'only from these: root, sfs, r2, hetzner, mello, git' },
  {
    name: 'prefer',
    value: 'order|newest',
    help: 'the first source in the order (default), or the newest copy',
  },
  { name: 'sfs', value: 'prod|clone', help: 'which share is mounted; by default that of ENVIRONMENT' },
  { name: 'with-models', help: 'the models too: links to SFS, else downloads' },
  { name: 'with-containers', help: 'the images too' },
  { name: 'with-container', help: 'the same, as the old script had it' },
  { name: 'full', help: 'both' },
  { name: 'skip-sfs', help: 'leave the share alone: no mount, nothing from it' },
  { name: 'root', value: 'DIR', help: 'a drill: files below DIR, no service touched' },
  { name: 'dry-run', help: 'print the plan and do nothing' },
  { name: 'json', help: 'one JSON report on standard output, everything else on standard error' },
  { name: 'quiet', help: 'print only what went wrong' },
  { name: 'help', help: 'this page' },
]

export const restoreExits: Manual['exits'] = [
  { code: 0, what: 'everything asked for is back, and the checklist is right' },
  { code: 1, what: 'an item, a step or a line of the checklist is not; the rest went on' },
  {
    code: 2,
    what: 'wrong flags or settings, or the question was not answered with yes; nothing was started',
  },
  { code: 75, what: 'another restore is under way' },
]
