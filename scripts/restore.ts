import { main } from '../lib/cli/main.ts'
import { restoreExits, restoreFlags } from '../lib/cli/restore-manual.ts'

await main(
  {
    command: 'restore',
    summary:
      'makes an empty machine the workshop again, or brings single items back; run on the new instance, as root',
    description: `
First it looks in all sources and prints the plan: what comes from where, how old it is, and on top what is missing or
newer elsewhere. One question, then the steps. Every archive is compared with its record before a file of the system is changed;
one that is not what it should be gives way to the next. What is overwritten is kept aside, who may log in by ssh still
may, and what is there already is left alone: an interrupted restore is simply run again. The Tailscale identity
is in place before tailscaled starts. While a restore is not finished, no backup is made of the machine.
Without --only, packages, the user dev, the project, the firewall and the crontab are seen to as well, and a checklist
closes it. Models and images come with --with-models, --with-containers, or --full.`,
    flags: restoreFlags,
    examples: [
      { what: 'what would be done', command: 'tsx scripts/restore.ts --full --dry-run' },
      { what: 'everything, on a new instance', command: 'tsx scripts/restore.ts --full' },
      {
        what: 'one item as it was yesterday',
        command: 'tsx scripts/restore.ts --only env --at 2026-11-23',
      },
      { what: "users' files from R2", command: 'tsx scripts/restore.ts --only user-data --from r2' },
      {
        what: 'a drill, which touches nothing of the machine',
        command: 'tsx scripts/restore.ts --yes --root /tmp/drill',
      },
    ],
    settings: [
      'SFS_ROOT, SFS_CACHE, SFS_REQUIRE_MOUNT   the share',
      'SFS_PROD, SFS_CLONE, SFS_MOUNT_OPTIONS   what is mounted there, host:/path',
      'R2_ENDPOINT, R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY, R2_*_BUCKET; a key that may only read will do',
      'HETZNER_ENDPOINT, HETZNER_ACCESS_KEY_ID, HETZNER_SECRET_ACCESS_KEY',
      'MELLO_BACKUPS                            when run on Mello, or with its folder copied here',
      'VERDA_TAILSCALE_IP, TAILSCALE_AUTHKEY    the address that is expected; a key, should a login be needed',
      'PROJECT_REPO, SCRIPTS_REPO, CREDENTIALS_REPO',
      'PROJECT_DIR, MODELS_DIR, TOOLKIT_DIR, CONTAINER_ENGINE, ENVIRONMENT, BACKUP_NOW   see the README',
    ],
    exits: restoreExits,
  },
  async (flags) => (await import('../lib/cli/restore-command.ts')).restoreCommand(flags),
)
