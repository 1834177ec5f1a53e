import { statfsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kind } from '../round.ts'
import { remount, wholeDisk } from '../world.ts'

/** The share or Mello's disk has room for a few more pages or files, from the start or from a moment on. */
export const diskFull: Kind = {
  name: 'disk-full',
  weight: 8,
  needs: 'mounts',
  commands: ['backup-cron', 'backup-verda'],
  async inject(round) {
    const { world, random, command } = round
    const disk = command === 'backup-cron' ? world.disks.sfs : world.disks.mello
    const pages = random.pick([0, 1, 2, 5, 20, 60, 90])
    const inodes = random.chance(0.25)
    const delay = random.chance(0.3) ? 300 + random.below(900) : 0
    const fill = () => {
      const { bsize, blocks, bfree, files, ffree } = statfsSync(disk)
      const used = Math.ceil(((blocks - bfree) * bsize) / 4096)
      remount(disk, inodes ? `nr_inodes=${files - ffree + random.below(4)}` : `size=${(used + pages) * 4}k`)
    }
    let filled = delay === 0
    let over = false
    // If the run ends first, the disk keeps its size for later rounds.
    const fillLater = async () => {
      await sleep(delay)
      if (over) return
      fill()
      filled = true
    }
    try {
      if (delay === 0) fill()
      const ended = await round.run({ onStart: () => void (delay > 0 && fillLater().catch(() => {})) })
      over = true
      return {
        runs: [ended],
        what: `${inodes ? 'few inodes' : `${pages} pages`} left${delay > 0 ? ` after ${delay} ms` : ''}`,
        tooLate: !filled,
      }
    } finally {
      over = true
      remount(disk, wholeDisk)
    }
  },
}
