import { main } from '../lib/cli/main.ts'

await main(
  {
    command: 'status',
    summary: 'says whether everything could be restored right now, and what to do where it could not',
    description: `
Looks at every store that can be reached from this machine, and writes nothing there: SFS on Verda or through Verda's ssh, Mello's copies
on Mello, the object stores with their keys. At the top stands what is missing, overdue, broken or dated wrongly, and what cannot be
reached; then every item in every store with its age, the runs, the room that is left, and what R2 costs. What did not change is not written again, so that
an old archive may still be fresh: then the report of a run says that it was looked at.
What is due by the clock is overdue after twice the time between two runs. What only a person starts has no due time: its age is shown.`,
    flags: [
      {
        name: 'list',
        value: 'STORE',
        help: 'everything that lies in sfs, mello, r2 or hetzner, with sizes and totals',
      },
      { name: 'only', value: 'a,b', help: 'with --list: these items or groups' },
      {
        name: 'html',
        value: 'FILE',
        help: 'also write all of it as one page, which needs no network and no script',
      },
      {
        name: 'stores',
        value: 'STORES',
        help: 'look only at these: sfs, mello, r2, hetzner; the others raise no alarm',
      },
      {
        name: 'verda-off',
        help: 'Verda is off on purpose: what only Verda can do raises no alarm until it answers again;\nkept on this machine, and taken back by the next look that reaches Verda',
      },
      { name: 'dry-run', help: 'print what would be looked at, and look at nothing' },
      { name: 'json', help: 'the whole look as JSON on standard output' },
      { name: 'quiet', help: 'print only what needs a person' },
      { name: 'help', help: 'this page' },
    ],
    examples: [
      { what: 'could everything be restored', command: 'tsx scripts/status.ts' },
      { what: 'on Verda, from where Mello cannot be seen', command: 'tsx scripts/status.ts --stores sfs' },
      { what: 'as a page', command: 'tsx scripts/status.ts --html status.html' },
      { what: 'what lies on R2', command: 'tsx scripts/status.ts --list r2' },
      { what: 'the images on Mello', command: 'tsx scripts/status.ts --list mello --only containers' },
      { what: 'on Mello, after Verda was shut down', command: 'tsx scripts/status.ts --verda-off' },
    ],
    settings: [
      'VERDA_SSH                              how ssh reaches Verda; local for this machine',
      'SFS_ROOT, SFS_CACHE, SFS_REQUIRE_MOUNT the share, as Verda has it',
      'MELLO_BACKUPS                          the folder of the copies on Mello',
      'R2_ENDPOINT, R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY, R2_*_BUCKET',
      'HETZNER_ENDPOINT, HETZNER_ACCESS_KEY_ID, HETZNER_SECRET_ACCESS_KEY',
      'CREDENTIALS_REPO                       the private repository of the credentials',
      'ENVIRONMENT, BACKUP_NOW                see the README',
    ],
    exits: [
      { code: 0, what: 'everything could be restored right now' },
      { code: 1, what: 'something needs a person, or could not be looked at' },
      { code: 2, what: 'wrong flags or settings; nothing was looked at' },
    ],
  },
  async (flags) => (await import('../lib/cli/status-command.ts')).statusCommand(flags),
)
