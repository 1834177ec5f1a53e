import type { Report } from '../../../lib/backup/report.ts'
import { type Kind, later } from '../round.ts'
import type { Finished } from '../run.ts'

/** Two or ten runs at once, of the same or different commands and items. */
export const crowd: Kind = {
  name: 'several-at-once',
  weight: 4,
  commands: ['backup-cron', 'backup-verda', 'backup-mello'],
  async inject(round) {
    const { world, random, command, args } = round
    const count = random.chance(0.15) ? 10 : 2
    const others = Array.from({ length: count - 1 }, () => {
      switch (random.below(4)) {
        case 0:
          return ['verify', ['--json']] as const
        case 1:
          return ['restore', ['--json', '--yes', '--root', world.drill(), '--only', 'ufw']] as const
        default:
          return [command, random.chance(0.5) ? [...args, '--wait', '60'] : args] as const
      }
    })
    const env = { BACKUP_NOW: round.now }
    // Restore and verify start a moment after the backups.
    const others2 = others.map(([name, words]) =>
      world.run(name, words, { env: { BACKUP_NOW: name === command ? round.now : later(round.now, 1) } }),
    )
    const runs = await Promise.all([world.run(command, args, { env }), ...others2])
    const problems = runs.flatMap((run) =>
      run.code === 0 ||
      // Of two runs at once, each may hold some items.
      ([1, 75].includes(run.code ?? -1) && run.command === command && onlyBusy(run)) ||
      run.command === 'restore' ||
      // Damage from an earlier round is still there.
      (run.code === 1 && run.command === 'verify' && world.damaged.size > 0)
        ? []
        : [`${run.command} ended with ${run.code} because of another: ${run.stderr.slice(-400)}`],
    )
    world.nowOfLastRun = round.now
    return { runs, what: `${count} at once: ${runs.map((run) => run.command).join(', ')}`, problems }
  },
}

/** Whether a backup only skipped items that another process held. */
function onlyBusy({ stdout }: Finished): boolean {
  const { items, problems }: Report = JSON.parse(stdout || '{"items":[{"status":"failed"}]}')
  return items.every(({ status }) => status !== 'failed') && problems.length === 0
}
