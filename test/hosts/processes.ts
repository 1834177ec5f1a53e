import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { expect, vi } from 'vitest'

/** A word that shows in the command line of each process that a test starts, so that those left over are found. */
export const newMark = () => `mark-${randomBytes(8).toString('hex')}`

export async function expectRunning(mark: string) {
  await vi.waitFor(() => expect(processesOf(mark)).not.toEqual([]), { timeout: 60_000, interval: 50 })
}

/** Within a bounded time no process with that mark is left. */
export async function expectNoneLeft(mark: string) {
  await vi.waitFor(() => expect(processesOf(mark)).toEqual([]), { timeout: 60_000, interval: 50 })
}

export function processesOf(mark: string): string[] {
  const rows = execFileSync('ps', ['-eww', '-o', 'pid=,args='], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  }).split('\n')
  return rows.filter((row) => row.includes(mark))
}

/** Runs `code` (a module) in a node of its own, waits until the marked process is there, and kills that node without warning. */
export async function killNodeWhileRunning(mark: string, code: string) {
  const node = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    stdio: 'inherit',
  })
  await vi.waitFor(() => expect(processesOf(mark).some((row) => row.includes('sleep'))).toBe(true), {
    timeout: 20_000,
    interval: 100,
  })
  node.kill('SIGKILL')
}
