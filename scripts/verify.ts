import { main } from '../lib/cli/main.ts'
import { verifyFlags } from '../lib/cli/verify-manual.ts'

await main(
  {
    command: 'verify',
    summary: 'reads archives back from each store and checks them against their records',
    description: `
Every byte is read as it rests in the store, past this machine's page cache, and compared with the record beside it: size, digest, and that
the record speaks of this archive. An archive without a record is told as unverified, or as broken when it is no whole gzip file. Nothing is
written to any store, but for the records that --adopt adds.

By default from every store that this machine has: r2 and hetzner when their keys are set, sfs and mello when their folder is there. Asked
for by name, a store that is not there is a failure. First comes what was never verified, the newest of every item first, then what
was verified longest ago: with --bytes, one run after another goes through everything. What was verified when is remembered on this
machine, below $XDG_STATE_HOME, /var/lib (root) or ~/.local/state.

With --drill the newest of everything, all but the models, is restored to a scratch folder by the very steps of a restore, and compared with its archive once
more: file by file in content, mode, owner, time and links. It needs that much room in TMPDIR, and touches nothing else.

The last line says OK or FAILED. A broken archive is named with what to do; restore passes it over.`,
    flags: verifyFlags,
    examples: [
      { what: 'everything', command: 'tsx scripts/verify.ts' },
      {
        what: 'as cron runs it every month on Mello',
        command: 'tsx scripts/verify.ts --bytes 200G',
      },
      {
        what: 'a random gigabyte of the images',
        command: 'tsx scripts/verify.ts --only containers --bytes 1G --sample',
      },
      { what: 'could everything be restored right now', command: 'tsx scripts/verify.ts --drill' },
      {
        what: 'give the archives without a record of one item theirs',
        command: 'tsx scripts/verify.ts --only env --adopt',
      },
    ],
    settings: [
      'SFS_ROOT, SFS_CACHE, SFS_REQUIRE_MOUNT   the share',
      'MELLO_BACKUPS                          the folder of the copies on Mello',
      'R2_ENDPOINT, R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY, R2_*_BUCKET',
      'HETZNER_ENDPOINT, HETZNER_ACCESS_KEY_ID, HETZNER_SECRET_ACCESS_KEY',
      'R2_SESSION_TOKEN, HETZNER_SESSION_TOKEN  with temporary credentials',
      'ENVIRONMENT, BACKUP_NOW                see the README',
    ],
    exits: [
      { code: 0, what: 'everything that was read is good, or unverified; in a drill, restorable' },
      {
        code: 1,
        what: 'an archive is broken, an item not restorable, or a store could not be read; the rest went on',
      },
      { code: 2, what: 'wrong flags or settings; nothing was started' },
    ],
  },
  async (flags) => (await import('../lib/cli/verify-command.ts')).verifyCommand(flags),
)
