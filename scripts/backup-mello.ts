import { backupExits, backupFlags } from '../lib/cli/backup-manual.ts'
import { main } from '../lib/cli/main.ts'

await main(
  {
    command: 'backup-mello',
    summary:
      "backs the users' files up to object storage and their credentials to a private git repository; run on Mello",
    description: `
Workflows, inputs, user data and custom nodes go to R2 as user-data, outputs as user-outputs, so that --quick hides nothing. Credentials
are committed and pushed only when they changed, never by force. What did not change writes nothing; nothing is ever
overwritten or removed.`,
    flags: backupFlags,
    examples: [
      { what: 'before shutting down', command: 'tsx scripts/backup-mello.ts' },
      {
        what: 'as cron runs it every hour',
        command: 'tsx scripts/backup-mello.ts --only user-data --to r2',
      },
      { what: 'without the outputs', command: 'tsx scripts/backup-mello.ts --quick' },
    ],
    settings: [
      "MELLO_PROJECT_DIR, USER_DATA_HOST      where the users' files are",
      'R2_ENDPOINT, R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY, R2_*_BUCKET',
      'HETZNER_ENDPOINT, HETZNER_ACCESS_KEY_ID, HETZNER_SECRET_ACCESS_KEY',
      'R2_SESSION_TOKEN, HETZNER_SESSION_TOKEN  with temporary credentials',
      'CREDENTIALS_REPO                       the private repository',
      'ENVIRONMENT, BACKUP_NOW                see the README',
    ],
    exits: backupExits,
  },
  async (flags) => (await import('../lib/cli/backup-command.ts')).backupCommand('backup-mello', flags),
)
