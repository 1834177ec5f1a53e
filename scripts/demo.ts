import { flag, number } from '../lib/cli/flags.ts'
import { main } from '../lib/cli/main.ts'

export default await main(
  import.meta.url,
  {
    command: 'demo',
    summary: 'a small Verda is backed up for weeks, lost, and brought back, all in a scratch folder',
    description: 'Needs no service and no settings. It only touches its own folder, which is in TMPDIR.',
    flags: {
      weeks: number('N', 'how many weeks go by, 1 to 52; 4 by default', { least: 1, most: 52 }),
      keep: flag('keep the folder in which it all happens, and say where it is'),
    },
    examples: {
      'the whole story': 'npm run demo',
      'a short one, with its folder to look around in': 'npm run demo -- --weeks 1 --keep',
    },
    exits: { 0: 'everything came back', 1: 'something did not', 2: 'wrong flags' },
  },
  async (asked) => (await import('../demo/demo.ts')).demo(asked),
)
