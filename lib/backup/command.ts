import { tellingOfBreak } from '../cli/confirm.ts'
import { FlagError } from '../cli/flags.ts'
import { coloured, noteLostOutput, print, printJson } from '../cli/output.ts'
import { type Pinger, tell } from '../cli/ping.ts'
import { stateFolder } from '../files/state.ts'
import { openHosts } from '../hosts/open.ts'
import { type BucketName, type CommandName, type StoreName, stores } from '../inventory.ts'
import { loadEnvironment, readSettings, type Settings } from '../settings/settings.ts'
import { openStore } from '../stores/open.ts'
import { uploadLimit } from '../stores/pool.ts'
import type { OnRetry } from '../stores/s3/client.ts'
import type { AppendOnlyStore } from '../stores/store.ts'
import type { RunContext } from './context.ts'
import type { AskedOfBackup } from './flags.ts'
import { keepReport } from './kept-reports.ts'
import { locksOf, takeLocks } from './locks.ts'
import { makePlan, type Plan } from './plan.ts'
import { exitCode, reasonsAgainstShutdown } from './report.ts'
import { begin, foreseen, lostByShutdown, type Run } from './run.ts'
import { selectItems } from './select.ts'
import { breakText, lastWords, planText, showRun } from './show.ts'

/** What a backup command will do, and what it needs. */
export interface Planned {
  plan: Plan
  settings: Settings
  /** The folder for state that outlives a run on this machine. */
  state: string
}

/** The same for --dry-run and the run. Throws for unknown names and wrong settings. */
export function planBackup(command: CommandName, asked: AskedOfBackup, toolkit: string): Planned {
  const selected = selectItems({ command, ...asked })
  const named = selected.flatMap(({ stores }) => stores)
  const needed = named.filter((store) => store !== 'hetzner' || asked.to?.includes(store))
  if (asked.limit !== undefined && !named.some((store) => stores[store].kind === 'object'))
    throw new FlagError('--limit is for uploads to object storage, and nothing here goes there')
  const environment = loadEnvironment(toolkit)
  const read = readSettings(environment, needed)
  const settings = { ...read, uploadLimit: asked.limit ?? read.uploadLimit }
  const plan = makePlan(command, selected, settings, settings.now ?? new Date())
  return { plan, settings, state: stateFolder(environment.XDG_STATE_HOME) }
}

/** Runs --dry-run: prints the plan and its problems, returns the exit code. */
export async function showPlan({ plan, settings }: Planned, { json }: AskedOfBackup): Promise<number> {
  const hosts = openHosts(settings, plan.command)
  try {
    const problems = await foreseen(plan, {
      settings,
      locks: { busy: new Map() },
      host: (host) => hosts.get(host),
      store: (name, bucket) => openStore(name, bucket, settings),
      acceptShrink: false,
      emit() {},
      clock: () => plan.now,
    })
    if (json) printJson({ ...plan, problems })
    else print(planText(plan, problems))
    return problems.length > 0 ? 1 : 0
  } finally {
    await hosts.close()
  }
}

/** A run that shows its progress and keeps its report. Disposing releases what it holds. */
export interface BackupRun extends Omit<Run, 'end'>, AsyncDisposable {
  /** Decides whether Verda may be shut down. Takes another look only if nothing else forbids it. */
  judgeShutdown(): Promise<void>
  /** Sends and keeps the report. Returns the exit code. */
  end(): Promise<number>
}

/** Takes a plan's locks, and opens its hosts and stores. */
export async function beginBackup(
  { plan, settings, state }: Planned,
  asked: AskedOfBackup,
  ping: Pinger,
): Promise<BackupRun> {
  ping.start()
  const { command, jobs } = plan
  const clock = () => settings.now ?? new Date()
  const isPart = Boolean(asked.only || asked.to || asked.quick)
  const emit = showRun({
    out: coloured(asked.json ? process.stderr : process.stdout),
    quiet: asked.quiet === true,
    isPart,
    clock,
  })
  const problem = (text: string) => emit({ kind: 'problem', text })
  const locks = await takeLocks(locksOf(jobs, settings), command, asked.wait)
  for (const text of locks.warnings) emit({ kind: 'warning', text })
  const hosts = openHosts(settings, command)
  const store = opener(settings, (retry) => emit({ kind: 'retry', ...retry }))
  const context: RunContext = {
    settings,
    locks,
    host: (host) => hosts.get(host),
    store,
    acceptShrink: asked.acceptShrink === true,
    state,
    emit,
    clock,
  }
  const run = begin(plan, context)
  const { report } = run
  const told = tellingOfBreak(() => breakText(plan, report.items))
  return {
    ...run,
    async judgeShutdown() {
      const part = isPart ? ['the run was asked for a part'] : []
      const reasons = [...part, ...reasonsAgainstShutdown(report)]
      report.againstShutdown = reasons.length > 0 ? reasons : await lostByShutdown(plan, context)
      report.safeToShutDown = report.againstShutdown.length === 0
    },
    async end() {
      run.end()
      if (locks.warnings.length > 0) report.warnings = locks.warnings
      await noteLostOutput(report)
      // The kept report includes the ping's outcome, so the ping goes first.
      for (const text of await tell(ping, report, lastWords(report))) problem(`ping: ${text}`)
      const { ok } = report
      await keepReport(plan, report, store, problem)
      if (ok && !report.ok) await tell(ping, report, lastWords(report))
      if (asked.json) printJson(report)
      emit({ kind: 'end', report })
      return exitCode(report)
    },
    async [Symbol.asyncDispose]() {
      told[Symbol.dispose]()
      await locks.release()
      await hosts.close()
    },
  }
}

/** Opens each store once, all under one limit. */
function opener(settings: Settings, onRetry: OnRetry): RunContext['store'] {
  const limit = settings.uploadLimit === undefined ? undefined : uploadLimit(settings.uploadLimit)
  const opened = new Map<string, AppendOnlyStore>()
  return (name: StoreName, bucket: BucketName) => {
    const key = `${name}/${bucket}`
    const found = opened.get(key) ?? openStore(name, bucket, settings, { limit, onRetry })
    opened.set(key, found)
    return found
  }
}
