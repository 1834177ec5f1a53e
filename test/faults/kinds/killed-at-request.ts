import type { ChildProcess } from 'node:child_process'
import type { Kind } from '../round.ts'

/** The process dies when one of its requests arrives, or after it was carried out but before the answer. */
export const killedAtRequest: Kind = {
  name: 'killed-at-request',
  weight: 9,
  commands: ['backup-verda', 'backup-verda', 'backup-mello', 'restore', 'verify'],
  async inject(round) {
    const { world, random } = round
    const after = random.below(world.requests.get(round.command) ?? 12)
    const done = random.chance(0.5)
    let child: ChildProcess | undefined
    const kill = async () => child?.kill('SIGKILL')
    world.r2.fail({
      operation: '*',
      after,
      ...(done ? { afterwards: () => void kill() } : { meanwhile: kill }),
    })
    const run = await round.run({
      onStart: (started) => {
        child = started
      },
    })
    return {
      runs: [run],
      what: `SIGKILL ${done ? 'after' : 'before'} request ${after} was done`,
      tooLate: run.signal === null,
    }
  },
}
