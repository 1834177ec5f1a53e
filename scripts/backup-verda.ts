import { backupExits, backupFlags } from '../lib/cli/backup-manual.ts'
import { main } from '../lib/cli/main.ts'

await main(
  {
    command: 'backup-verda',
    summary: 'backs Verda up over SSH to Mello and object storage; run on Mello, before a shutdown',
    description: `
Everything that must survive Verda: configuration, homes and images go to Mello and R2 in one pass, models to R2 alone. What
goes to R2 also goes to Hetzner once that is set up. What did not change writes nothing; nothing is ever overwritten or removed.
Models that are on R2 with their size are not sent again, and an upload that was cut off goes on where it was.
The last line says SAFE TO SHUT DOWN, or NOT SAFE TO SHUT DOWN and why.`,
    flags: backupFlags,
    examples: [
      { what: 'before shutting Verda down', command: 'tsx scripts/backup-verda.ts' },
      {
        what: 'as cron runs it on Mello',
        command: 'tsx scripts/backup-verda.ts --only config,scripts --to r2',
      },
      { what: 'without models and images', command: 'tsx scripts/backup-verda.ts --quick' },
      { what: 'a model was added', command: 'tsx scripts/backup-verda.ts --only models' },
    ],
    settings: [
      'VERDA_SSH                              how ssh reaches Verda; local for this machine',
      'MELLO_BACKUPS                          the folder of the copies on Mello',
      'R2_ENDPOINT, R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY, R2_*_BUCKET',
      'HETZNER_ENDPOINT, HETZNER_ACCESS_KEY_ID, HETZNER_SECRET_ACCESS_KEY',
      'R2_SESSION_TOKEN, HETZNER_SESSION_TOKEN  with temporary credentials',
      'CONTAINER_IMAGES, CONTAINER_ENGINE     the images',
      'ENVIRONMENT, BACKUP_NOW                see the README',
    ],
    exits: backupExits,
  },
  async (flags) => (await import('../lib/cli/backup-command.ts')).backupCommand('backup-verda', flags),
)
