import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Kind } from '../round.ts'

const libraries = '/usr/lib/fiu'

/** Some of the process's system calls fail at random from a moment on: files, pipes, connections (libfiu). */
export const failingSystem: Kind = {
  name: 'failing-system-calls',
  weight: 4,
  needs: 'fiu',
  commands: ['backup-cron', 'backup-verda', 'restore', 'verify'],
  async inject(round) {
    const { random, world } = round
    const control = `${world.folder}/fiu`
    const calls = random.pick([
      'posix/io/rw/*',
      'posix/io/oc/*',
      'posix/io/sync/*',
      'posix/io/dir/*',
      'posix/io/*',
    ])
    const probability = random.pick([0.002, 0.01, 0.05])
    const delay = 400 + random.below(900)
    let planted = false
    const plant = async (pid: number) => {
      await sleep(delay)
      const command = `enable_random name=${calls},probability=${probability}`
      planted = await promisify(execFile)('fiu-ctrl', ['-f', control, '-c', command, String(pid)], {
        timeout: 5000,
      }).then(
        () => true,
        () => false,
      )
    }
    // Like fiu-run, but for this process only: its children get their own environment.
    const env = {
      LD_PRELOAD: `${libraries}/fiu_run_preload.so ${libraries}/fiu_posix_preload.so`,
      FIU_CTRL_FIFO: control,
    }
    const run = await round.run({ env, onStart: (child) => void plant(child.pid as number) })
    // Loading the program itself may fail.
    const what = `${calls} fail with ${probability} after ${delay} ms`
    return { runs: [run], what, tooLate: !planted, mayCrash: true }
  },
}
