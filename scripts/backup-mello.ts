import { backupManual } from '../lib/backup/flags.ts'
import { objectStores } from '../lib/cli/help.ts'
import { main } from '../lib/cli/main.ts'

export default await main(
  import.meta.url,
  {
    ...backupManual('backup-mello'),
    summary:
      "backs the users' files up to object storage, and credentials to a private git repository; run it on Mello",
    description: `
Workflows, inputs, user data and custom nodes go to R2 as user-data, outputs as user-outputs, so that --quick hides nothing.
--only user-data takes both, item:user-data that item alone. Credentials
are committed and pushed when they changed, never by force. What did not change writes nothing, and nothing is ever overwritten or removed.`,
    examples: {
      'before shutting down': 'comfyume-backup backup-mello',
      'as cron runs it every hour': 'comfyume-backup backup-mello --only user-data --to r2',
      'without the outputs': 'comfyume-backup backup-mello --quick',
    },
    settings: ['MELLO_PROJECT_DIR', 'USER_DATA_HOST', ...objectStores, 'CREDENTIALS_REPO', 'BACKUP_PING_URL'],
  },
  async (asked, { toolkit, ping }) => {
    const { beginBackup, planBackup, showPlan } = await import('../lib/backup/command.ts')
    const planned = planBackup('backup-mello', asked, toolkit)
    if (asked.dryRun) return showPlan(planned, asked)
    await using run = await beginBackup(planned, asked, ping) // locks, hosts, stores
    for (const job of run.jobs)
      await run.item(job, async (item) => {
        const found = await item.survey() // size and fingerprint; throws if it cannot be a backup
        return found.store() // one pass into all its stores, reads back, writes the record last
      })
    return await run.end() // pings, saves the report, prints the last line
  },
)
