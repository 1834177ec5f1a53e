import { CaptureError } from '../capture/capture.ts'
import { type Finding, NotChecked, warning, wrong } from '../cli/finding.ts'
import { HostError } from '../hosts/host.ts'
import { within } from '../hosts/process.ts'
import { StoreError } from '../stores/store.ts'
import { clock } from './checks/clock.ts'
import { cron } from './checks/cron.ts'
import { hosts } from './checks/hosts.ts'
import { mounts } from './checks/mounts.ts'
import { ping } from './checks/ping.ts'
import { settings } from './checks/settings.ts'
import { sources } from './checks/sources.ts'
import { stores } from './checks/stores.ts'
import { tools } from './checks/tools.ts'
import type { Check, Checks, Context, Findings } from './context.ts'
import { type Group, groups, type Result } from './show.ts'

const checksOf: Record<Group, Checks> = {
  settings,
  tools,
  hosts,
  mounts,
  clock,
  cron,
  sources,
  stores,
  ping,
}

export type GroupedCheck = Check & { group: Group }

/** Every check of this machine, in print order. */
export function checksFor(context: Context): GroupedCheck[] {
  return groups.flatMap((group) => checksOf[group](context).map((check) => ({ ...check, group })))
}

/** One ssh connection allows ten commands at once. */
const atOnce = 6
const usualLimit = 120

/**
 * Runs several checks at once and yields results in order, each once all before it are ready. A check that
 * hangs is abandoned after its limit: it ends with the process.
 */
export async function* runChecks(checks: readonly GroupedCheck[], context: Context): AsyncGenerator<Result> {
  const turn = turns(atOnce)
  const results = checks.map((check) => turn(() => runCheck(check, context)))
  for (const result of results) yield* await result
}

/** Runs at most that many tasks at once, in order of arrival. */
function turns(most: number) {
  let running = 0
  const waiting: (() => void)[] = []
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= most) await new Promise<void>((begin) => waiting.push(begin))
    running++
    try {
      return await work()
    } finally {
      running--
      waiting.shift()?.()
    }
  }
}

async function runCheck(check: GroupedCheck, context: Context): Promise<Result[]> {
  const { group } = check
  const findings = await look(check, context).catch((error) =>
    errorFinding(error, `fix this, then run: comfyume-backup doctor --only ${group}`),
  )
  return [findings].flat().map((finding) => {
    const name = finding.name ?? check.name
    // Errors of hosts and stores start with the name that is printed before them.
    const what = finding.what.startsWith(`${name}: `) ? finding.what.slice(name.length + 2) : finding.what
    return { ...finding, what, group, name }
  })
}

/** What a check threw, as a finding. */
export function errorFinding(error: unknown, todo: string): Finding {
  if (error instanceof NotChecked) return { ...warning(error.message, error.todo), unchecked: true }
  if (error instanceof HostError || error instanceof StoreError || error instanceof CaptureError)
    return wrong(error.message, todo)
  const said = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return wrong(
    `the check itself failed: ${said.replace(/\s+/g, ' ').trim()}`,
    'this is a bug in the toolkit: send this line to its maintainer',
  )
}

async function look({ uses = [], limit = usualLimit, check }: Check, context: Context): Promise<Findings> {
  const bad = context.settingProblems.find(({ setting }) => uses.includes(setting))
  if (bad) throw new NotChecked(`${bad.setting} is wrong`, 'correct it, then run: comfyume-backup doctor')
  return within(limit, Promise.resolve(check(context)), () => new HostError(hangs(limit)))
}

function hangs(seconds: number): string {
  return `no answer within ${seconds} s: the server of a share may be down (see findmnt and dmesg), or the network may lose packets`
}
