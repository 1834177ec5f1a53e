import { counted, type Kind } from '../round.ts'

/** One call to a disk fails, or a few, or all from one on, as on a bad disk or share; or writes are short. */
export const failingCall: Kind = {
  name: 'failing-call',
  weight: 14,
  commands: ['backup-cron', 'backup-cron', 'backup-verda', 'restore', 'verify'],
  async inject(round) {
    const { world, random, command, root } = round
    const how = random.pick(['EIO', 'ENOSPC', 'EROFS', 'ESTALE', 'EDQUOT', 'EACCES', 'short'])
    const looks = how !== 'short' && random.chance(0.15)
    const at = random.below(looks ? 12 : (world.calls.get(command) ?? 30) + 2)
    const times = random.pick([1, 1, 1, 3, 100_000])
    const count = `${world.folder}/failing`
    const run = await round.run({
      faultAt: { below: counted(world, command, root), at, how, times, looks, count },
    })
    const calls = world.takeCount(count)
    return {
      runs: [run],
      what: `${how} at ${looks ? 'look' : 'call'} ${at}, ${times} times`,
      tooLate: calls <= at,
    }
  },
}
