import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kind } from '../round.ts'
import { killGroup } from '../run.ts'

/** At a random moment the process, or its whole group, gets a signal. */
export const killedAtMoment: Kind = {
  name: 'killed-at-moment',
  weight: 12,
  commands: ['backup-cron', 'backup-verda', 'backup-mello', 'restore', 'verify', 'status'],
  async inject(round) {
    const { random } = round
    const after = 350 + random.below(1400)
    const signal = random.pick(['SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    const whole = random.chance(0.4)
    const kill = async (child: ChildProcess) => {
      await sleep(after)
      if (whole) killGroup(child, signal)
      else child.kill(signal)
    }
    const run = await round.run({ onStart: (child) => void kill(child) })
    const what = `${signal} to ${whole ? 'its group' : 'the process'} after ${after} ms`
    return { runs: [run], what, tooLate: run.signal === null && run.code === 0 }
  },
}
