import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** Collects a child's output: `out` for standard output, `all` for both and any start error. */
export function collect(child: ChildProcess): { out: string; all: string } {
  const said = { out: '', all: '' }
  child.stdout?.on('data', (data) => {
    said.out += data
    said.all += data
  })
  child.stderr?.on('data', (data) => {
    said.all += data
  })
  child.on('error', (error) => {
    said.all += error.message
  })
  return said
}

export const ended = (child: ChildProcess): boolean =>
  child.pid === undefined || child.exitCode !== null || child.signalCode !== null

/** Asks it to end, and kills it after ten seconds. */
export async function end(child: ChildProcess): Promise<void> {
  if (ended(child)) return
  child.stdin?.end()
  child.kill()
  const killing = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await once(child, 'exit')
  clearTimeout(killing)
}

/** Waits up to 15 s; an error thrown by `holds` ends the wait at once. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const limit = Date.now() + 15_000
  while (!(await holds())) {
    if (Date.now() > limit) throw new Error(`waited 15 s in vain until ${what}`)
    await sleep(20)
  }
}
