import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kind } from '../round.ts'

const programs = [
  'tar',
  'igzip',
  'find',
  'bash',
  'sha256sum',
  'sed',
  'dd',
  'openssl',
  'git',
  'awk',
  'sort',
  'cat',
] as const

/** A program that the run started is killed: the first of its name, or a later one. */
export const killedChild: Kind = {
  name: 'killed-child',
  weight: 10,
  commands: ['backup-cron', 'backup-verda', 'backup-mello', 'restore'],
  async inject(round) {
    const { random } = round
    const program = random.pick(programs)
    let skip = random.below(3)
    const stop = new AbortController()
    let killed: string | undefined
    const watch = async (group: number) => {
      const passed = new Set<number>()
      while (!stop.signal.aborted && killed === undefined) {
        for (const pid of below(group, program)) {
          if (passed.has(pid)) continue
          passed.add(pid)
          if (skip-- > 0) continue
          try {
            process.kill(pid, 'SIGKILL')
            killed = `${program} ${pid}`
            break
          } catch {
            // It just ended by itself.
          }
        }
        await sleep(1)
      }
    }
    const run = await round.run({ onStart: (child) => void watch(child.pid as number) })
    stop.abort()
    return { runs: [run], what: `SIGKILL to a ${program} of it`, tooLate: killed === undefined }
  },
}

/** Processes of that name that descend from `ancestor`. */
function below(ancestor: number, program: string): number[] {
  const parents = new Map<number, number>()
  const named: number[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const [, comm = '', parent = ''] =
        /\((.*)\) [^Z ] (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, 'utf8')) ?? []
      parents.set(Number(name), Number(parent))
      if (comm === program) named.push(Number(name))
    } catch {
      // It ended in the meantime.
    }
  }
  return named.filter((pid) => {
    for (let up = parents.get(pid); up !== undefined && up > 1; up = parents.get(up))
      if (up === ancestor) return true
    return false
  })
}
