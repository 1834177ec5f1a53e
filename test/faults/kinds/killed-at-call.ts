import { counted, type Kind } from '../round.ts'

/** The process dies just before one of its calls that change a disk. */
export const killedAtCall: Kind = {
  name: 'killed-at-call',
  weight: 12,
  commands: ['backup-cron', 'backup-cron', 'backup-verda', 'restore', 'verify'],
  async inject(round) {
    const { world, random, command, root } = round
    const at = random.below((world.calls.get(command) ?? 30) + 2)
    const run = await round.run({ faultAt: { below: counted(world, command, root), at, how: 'SIGKILL' } })
    return { runs: [run], what: `SIGKILL at call ${at}`, tooLate: run.signal === null }
  },
}
