import { backupManual } from '../lib/backup/flags.ts'
import { main } from '../lib/cli/main.ts'

export default await main(
  import.meta.url,
  {
    ...backupManual('backup-cron'),
    summary: 'backs Verda up to the SFS cache; made for cron on Verda',
    description: `
Backs up tailscale, ssh-host-keys, fail2ban, ufw, nginx, ssl and env. Name the others with --only: home-dev, root-home, scripts, and the
images as the group containers.

What did not change is not read again, and a new day gets a link to the same bytes. What was stored is read back from the share before it
counts. Then the item's older copies are rotated by its keep rule. Nothing else on the share is touched.`,
    examples: {
      'as cron runs it every hour': 'comfyume-backup backup-cron',
      'the homes and the images': 'comfyume-backup backup-cron --only home-dev,root-home,containers',
      'what would be done': 'comfyume-backup backup-cron --dry-run',
    },
    settings: ['SFS_ROOT', 'SFS_CACHE', 'VERDA_ROOT', 'PROJECT_DIR', 'CONTAINER_IMAGES', 'BACKUP_PING_URL'],
  },
  async (asked, { toolkit, ping }) => {
    const { beginBackup, planBackup, showPlan } = await import('../lib/backup/command.ts')
    const planned = planBackup('backup-cron', asked, toolkit)
    if (asked.dryRun) return showPlan(planned, asked)
    await using run = await beginBackup(planned, asked, ping) // locks, hosts, stores
    for (const job of run.jobs)
      await run.item(job, async (item) => {
        const found = await item.survey() // size and fingerprint; throws if it cannot be a backup
        const stored = await found.store() // one pass into all its stores, reads back, writes the record last
        return item.rotate(stored) // only on SFS, after the new copy is verified
      })
    return await run.end() // pings, saves the report, prints the last line
  },
)
