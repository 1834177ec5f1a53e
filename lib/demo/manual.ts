import type { Flag } from '../cli/flags.ts'
import type { Manual } from '../cli/help.ts'

const flags: readonly Flag[] = [
  { name: 'weeks', value: 'N', help: 'how many weeks go by, 1 to 52; 4 by default' },
  { name: 'keep', help: 'keep the folder in which it all happens, and say where it is' },
  { name: 'help', help: 'this page' },
]

export const demoManual: Manual = {
  command: 'demo',
  summary: 'a small Verda is backed up for weeks, lost, and brought back, all in a scratch folder',
  description:
    'Needs no service and no settings, reads none of yours, and touches nothing outside of its folder.',
  flags,
  examples: [
    { what: 'the whole story', command: 'npm run demo' },
    { what: 'a short one, with its folder to look around in', command: 'npm run demo -- --weeks 1 --keep' },
  ],
  settings: ['none; TMPDIR says where the scratch folder goes'],
  exits: [
    { code: 0, what: 'everything came back' },
    { code: 1, what: 'something did not' },
    { code: 2, what: 'wrong flags' },
  ],
}
