import { backupManual } from '../lib/backup/flags.ts'
import { objectStores } from '../lib/cli/help.ts'
import { main } from '../lib/cli/main.ts'

export default await main(
  import.meta.url,
  {
    ...backupManual('backup-verda'),
    summary: 'backs Verda up over ssh to Mello and object storage; run it on Mello, before a shutdown',
    description: `
Backs up everything that must survive Verda: configuration, homes and images to Mello and R2 in one pass, models to R2 alone. Once
Hetzner is set up, what goes to R2 goes there too.

What did not change writes nothing, and nothing is ever overwritten or removed. Models that R2 has are not sent again, and an upload that
was cut off goes on where it was. The last line says SAFE TO SHUT DOWN, or NOT SAFE TO SHUT DOWN and why. With --only, --to or --quick
nothing is said of a shutdown.`,
    examples: {
      'before shutting Verda down': 'comfyume-backup backup-verda',
      'as cron runs it on Mello': 'comfyume-backup backup-verda --only config,scripts --to r2',
      'without models and images': 'comfyume-backup backup-verda --quick',
      'a model was added': 'comfyume-backup backup-verda --only models',
    },
    settings: ['VERDA_SSH', 'MELLO_BACKUPS', ...objectStores, 'CONTAINER_IMAGES', 'BACKUP_PING_URL'],
  },
  async (asked, { toolkit, ping }) => {
    const { beginBackup, planBackup, showPlan } = await import('../lib/backup/command.ts')
    const planned = planBackup('backup-verda', asked, toolkit)
    if (asked.dryRun) return showPlan(planned, asked)
    await using run = await beginBackup(planned, asked, ping) // locks, hosts, stores
    for (const job of run.jobs)
      await run.item(job, async (item) => {
        const found = await item.survey() // size and fingerprint; throws if it cannot be a backup
        return found.store() // one pass into all its stores, reads back, writes the record last
      })
    await run.judgeShutdown()
    return await run.end() // pings, saves the report, prints the last line
  },
)
