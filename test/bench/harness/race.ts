import { execFileSync } from 'node:child_process'
import { messageOf } from '../../../lib/text.ts'
import type { Figures } from './figures.ts'
import { measure } from './measure.ts'

/** One way to do the task. */
export interface Way {
  name: string
  /** It is this project's. */
  ours?: true
  /** A bash line. */
  line: string
  env: NodeJS.ProcessEnv
  /** Programs that it needs; without one it is left out by name. */
  needs?: readonly string[]
  /** How it checks what it stored, which explains differences in work. */
  checks: string
  /** The way for its ratio, instead of the table's. */
  against?: string
  /** Before every run, not measured: resets everything. */
  prepare?(): Promise<void> | void
  /** After the first run: bytes stored, and bytes sent over the network. */
  weigh?(): Promise<Weight>
  /** After every run, not measured. */
  clear?(): Promise<void> | void
}

export interface Weight {
  storedBytes?: number
  sentBytes?: number
}

/** The result of a way. If `runs` is empty, `missing` or `failed` says why. */
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
 * Runs every way `rounds` times in turn, after pending writes reach the disk. Drops a way once it fails.
 * First runs one way unmeasured, to touch fresh memory and disk.
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
