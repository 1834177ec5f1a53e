import { execFileSync } from 'node:child_process'
import { messageOf } from '../../../lib/message.ts'
import type { Figures } from './figures.ts'
import { measure } from './measure.ts'

/** One way to do a thing. */
export interface Way {
  name: string
  /** This project's own. */
  ours?: true
  /** A line for bash. */
  line: string
  env: NodeJS.ProcessEnv
  /** Programs without which it cannot run: then it is left out, by name. */
  needs?: readonly string[]
  /** What it knows at its end of what it has stored. Differences in the work are told here. */
  checks: string
  /** The name of the way that its ratio is of, in the place of the table's. */
  against?: string
  /** Before every run, unmeasured: makes it start from nothing. */
  prepare?(): Promise<void> | void
  /** After the first run: what it stored, and what it moved over the network. */
  weigh?(): Promise<Weight>
  /** After every run, unmeasured. */
  clear?(): Promise<void> | void
}

export interface Weight {
  storedBytes?: number
  sentBytes?: number
}

/** How a way did. Empty `runs` say in `missing` or `failed` why. */
export interface Row extends Weight {
  name: string
  ours: boolean
  checks: string
  against?: string
  runs: Figures[]
  missing?: string
  failed?: string
}

/**
 * Runs every way `rounds` times, in turn, after what is still to be written lies on the disk. A way that fails once is not run again. Before all that, the first one runs
 * unmeasured: whoever is first pays for memory and disk that this machine has not touched yet.
 */
export async function race(
  ways: readonly Way[],
  { rounds, folder, say }: { rounds: number; folder: string; say(text: string): void },
): Promise<Row[]> {
  const rows = ways.map((way): Row => {
    const missing = (way.needs ?? []).filter((program) => !isThere(program)).join(', ')
    const { name, ours = false, checks, against } = way
    return { name, ours, checks, runs: [], ...(against && { against }), ...(missing && { missing }) }
  })
  for (let round = -1; round < rounds; round++)
    for (const [index, way] of ways.entries()) {
      const row = rows[index] as Row
      if (row.missing !== undefined || row.failed !== undefined || (round < 0 && index > 0)) continue
      try {
        await way.prepare?.()
        execFileSync('sync', ['-f', folder])
        const figures = await measure({ line: way.line, env: way.env, cwd: folder })
        if (round < 0) continue
        row.runs.push(figures)
        say(`${way.name}: ${figures.seconds.toFixed(1)} s`)
        if (round === 0) Object.assign(row, await way.weigh?.())
      } catch (error) {
        row.failed = messageOf(error)
        say(`${way.name}: FAILED: ${row.failed}`)
      } finally {
        await way.clear?.()
      }
    }
  return rows
}

function isThere(program: string): boolean {
  try {
    execFileSync('bash', ['-c', 'type -P -- "$1"', 'bash', program], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
