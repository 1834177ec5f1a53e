import { readFileSync } from 'node:fs'

/** Clock ticks after boot at which a process started; with the pid it names a process for good. 0 when there is none. */
export function startTime(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19] ?? 0)
  } catch {
    return 0
  }
}

/** Whether a process of this host that names its files so is still there; of one that could not tell its start, which is then 0, the pid decides. */
export function isAlive(pid: number, start: number): boolean {
  const now = startTime(pid)
  return now !== 0 && (start === 0 || start === now)
}
