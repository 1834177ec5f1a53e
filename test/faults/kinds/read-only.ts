import { setTimeout as sleep } from 'node:timers/promises'
import type { Kind } from '../round.ts'
import { remount, wholeDisk } from '../world.ts'

/** The share or Mello's disk becomes read-only: before the run, or later, when no file is being written. */
export const readOnly: Kind = {
  name: 'read-only-disk',
  weight: 4,
  needs: 'mounts',
  commands: ['backup-cron', 'backup-verda', 'verify'],
  async inject(round) {
    const { world, random, command } = round
    const disk = command === 'backup-verda' ? world.disks.mello : world.disks.sfs
    const delay = random.chance(0.6) ? 400 + random.below(800) : 0
    let done = false
    let over = false
    const turn = async () => {
      if (delay > 0) await sleep(delay)
      while (!done && !over) {
        try {
          remount(disk, 'ro')
          done = true
        } catch {
          await sleep(3)
        }
      }
    }
    try {
      if (delay === 0) await turn()
      const run = await round.run({ onStart: () => void (delay > 0 && turn()) })
      over = true
      return {
        runs: [run],
        what: `read-only ${delay === 0 ? 'from the start' : `after ${delay} ms`}`,
        tooLate: !done,
      }
    } finally {
      over = true
      remount(disk, wholeDisk)
    }
  },
}
