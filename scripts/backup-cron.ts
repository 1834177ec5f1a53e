import { backupExits, backupFlags } from '../lib/cli/backup-manual.ts'
import { main } from '../lib/cli/main.ts'

await main(
  {
    command: 'backup-cron',
    summary: 'backs Verda up to the SFS cache; made for cron on Verda',
    description: `
By default: tailscale, ssh-host-keys, fail2ban, ufw, nginx, ssl and env. The others by name: home-dev, root-home, scripts
and the images (group containers). What did not change since the last run is not read again; a new day gets a
link to the same bytes. What was stored is read back from the share before it counts. Afterwards each item's older copies
are rotated by its keep rule; nothing else on the share is touched.`,
    flags: backupFlags,
    examples: [
      { what: 'as cron runs it every hour', command: 'tsx scripts/backup-cron.ts' },
      {
        what: 'the homes and the images',
        command: 'tsx scripts/backup-cron.ts --only home-dev,root-home,containers',
      },
      { what: 'what would be done', command: 'tsx scripts/backup-cron.ts --dry-run' },
    ],
    settings: [
      'SFS_ROOT, SFS_CACHE, SFS_REQUIRE_MOUNT   the share',
      'VERDA_ROOT, PROJECT_DIR               what is backed up',
      'CONTAINER_IMAGES, CONTAINER_ENGINE    the images',
      'ENVIRONMENT, BACKUP_NOW               see the README',
    ],
    exits: backupExits,
  },
  async (flags) => (await import('../lib/cli/backup-command.ts')).backupCommand('backup-cron', flags),
)
