import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'

/** Whether this machine can have hanging mounts: root, with bindfs. */
export const canHang = process.getuid?.() === 0 && spawnSync('sh', ['-c', 'command -v bindfs']).status === 0

/**
 * While `use` runs, folders are on a file system that never answers. After `seconds` it answers again, so
 * that a bug does not hang the tests, and this throws.
 */
export async function whileHanging<T>(
  points: readonly string[],
  use: () => T,
  seconds = 45,
): Promise<Awaited<T>> {
  return onMounts(
    points,
    async ({ hang }) => {
      hang()
      return await use()
    },
    seconds,
  )
}

/** While `use` runs, each folder shows the files of `behind`, at 2 MiB a second, until `hang` is called. */
export async function onMounts<T>(
  points: readonly string[],
  use: (mounts: { behind: string; hang(): void }) => T,
  seconds = 45,
): Promise<Awaited<T>> {
  const behind = mkdtempSync(path.join(tmpdir(), 'behind-'))
  const daemons: ChildProcess[] = []
  let answered = false
  const goOn = () => {
    answered = true
    for (const daemon of daemons) daemon.kill('SIGCONT')
  }
  let late: NodeJS.Timeout | undefined
  try {
    for (const point of points) {
      mkdirSync(point, { recursive: true })
      daemons.push(
        spawn('bindfs', ['-f', '--read-rate=2M', '-o', 'nonempty', behind, point], { stdio: 'ignore' }),
      )
      while (spawnSync('mountpoint', ['-q', point]).status !== 0) {
        if (daemons.at(-1)?.exitCode !== null) throw new Error(`bindfs does not mount ${point}`)
        await wait(20)
      }
    }
    late = setTimeout(goOn, seconds * 1000)
    const hang = () => {
      for (const daemon of daemons) daemon.kill('SIGSTOP')
    }
    const result = await use({ behind, hang })
    if (answered) throw new Error(`something waited for a mount that hangs, for ${seconds} s`)
    return result
  } finally {
    clearTimeout(late)
    goOn()
    for (const point of points) spawnSync('umount', ['-l', point])
    rmSync(behind, { recursive: true })
  }
}
