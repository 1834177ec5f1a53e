import { spawn } from 'node:child_process'
import path from 'node:path'
import type { ItemOutcome, RestoreReport, StepOutcome } from '../../lib/restore/report.ts'
import { environment, type Verda } from '../scripts/verda.ts'
import type { OwnRoot } from './own-root.ts'

const project = path.resolve(import.meta.dirname, '../..')

export interface Restored {
  code: number | null
  /** All output but the report. */
  log: string
  /** Throws the output if there is none. */
  report: RestoreReport
  step(name: string): StepOutcome
  item(name: string): ItemOutcome
}

export interface RestoreRunOptions {
  env?: Record<string, string>
  /** Folders to put first in PATH. */
  bin?: readonly string[]
  /** Once this settles, kills the run, but not its children. */
  killAfter?: Promise<unknown>
}

/** Runs the real script, which restores `verda` to the root of `where` without asking. */
export async function runRestore(
  where: OwnRoot,
  verda: Verda,
  args: readonly string[],
  { env = {}, bin = [], killAfter }: RestoreRunOptions = {},
): Promise<Restored> {
  const [command, ...inside] = where.inside as [string, ...string[]]
  const script = ['--import', 'tsx', path.join(project, 'scripts/restore.ts'), '--yes', '--json', ...args]
  const child = spawn(command, [...inside, process.execPath, ...script], {
    cwd: project,
    env: {
      ...environment(verda, { VERDA_ROOT: '', HOME: '/root', TMPDIR: '', ...env }),
      PATH: [...bin, process.env.PATH].join(':'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  void killAfter?.then(() => child.kill('SIGKILL'))
  let [out, log] = ['', '']
  child.stdout.on('data', (data) => {
    out += data
  })
  child.stderr.on('data', (data) => {
    log += data
  })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  const report = (): RestoreReport => {
    try {
      return JSON.parse(out)
    } catch {
      throw new Error(`no report; exit ${code}, it said: ${out}${log}`)
    }
  }
  const named = <T>(name: string, found: T | undefined): T => {
    if (found === undefined) throw new Error(`the report has no ${name}: ${out}`)
    return found
  }
  return {
    code,
    log,
    get report() {
      return report()
    },
    step: (name) =>
      named(
        name,
        report().steps.find(({ step }) => step === name),
      ),
    item: (name) =>
      named(
        name,
        report().items.find(({ item }) => item === name),
      ),
  }
}
