import path from 'node:path'
import { carryOut } from '../backup.ts'
import { openHosts } from '../hosts/open.ts'
import { type BucketName, type CommandName, runReportDays, type StoreName, stores } from '../inventory.ts'
import { takeLocks } from '../locks.ts'
import { messageOf } from '../message.ts'
import { makePlan, type Plan } from '../plan.ts'
import { exitCode, type Report } from '../report.ts'
import { forgetReports, saveReport } from '../run-reports.ts'
import { type Request, selectItems } from '../select.ts'
import { loadEnvironment, readSettings, type Settings } from '../settings.ts'
import { reasonsAgainstShutdown } from '../shutdown.ts'
import { openSfs, openStore } from '../stores/open.ts'
import type { AppendOnlyStore } from '../stores/store.ts'
import { type Flag, FlagError, type Flags, listOf, parseFlags } from './flags.ts'
import { helpText, type Manual } from './help.ts'
import { planText, showRun } from './show.ts'

export const backupFlags: readonly Flag[] = [
  { name: 'only', value: 'a,b', help: 'these items or groups, in the place of the default set' },
  { name: 'to', value: 'STORES', help: "of each item's stores only these: sfs, mello, r2, hetzner" },
  { name: 'quick', help: 'without the large ones: models and images; for backup-mello the outputs' },
  { name: 'accept-shrink', help: 'take archives of less than half of their predecessor' },
  { name: 'wait', value: 'SECONDS', help: 'wait so long for items that another process is backing up' },
  { name: 'dry-run', help: 'print the plan and do nothing' },
  { name: 'json', help: 'one JSON report on standard output, everything else on standard error' },
  { name: 'quiet', help: 'print only what went wrong' },
  { name: 'help', help: 'this page' },
]

export const backupExits: Manual['exits'] = [
  { code: 0, what: 'all done' },
  { code: 1, what: 'an item or a store failed; the rest went on' },
  { code: 2, what: 'wrong flags or settings; nothing was started' },
  { code: 75, what: 'every item asked for is being backed up by another process' },
]

/** A backup command from its command line to its exit code. */
export async function backupCommand(
  name: CommandName,
  manual: Manual,
  argv: readonly string[],
): Promise<number> {
  const flags = parseFlags(argv, manual.flags)
  if (flags.help) {
    process.stdout.write(`${helpText(manual)}\n`)
    return 0
  }
  const request = readRequest(name, flags)
  const waitSeconds = readSeconds(flags.wait)
  const selected = selectItems(request)
  const explicit = selected
    .flatMap((one) => one.stores)
    .filter((store) => store !== 'hetzner' || request.to?.includes(store))
  const settings = readSettings(loadEnvironment(path.resolve(import.meta.dirname, '../..')), explicit)
  const begun = Date.now()
  const start = settings.now ?? new Date(begun)
  const clock = () => new Date(start.getTime() + Date.now() - begun)
  const plan = makePlan(name, selected, settings, start)
  if (flags['dry-run']) {
    process.stdout.write(`${flags.json ? JSON.stringify(plan, null, 2) : planText(plan)}\n`)
    return 0
  }

  const out = flags.json ? process.stderr : process.stdout
  const show = showRun({ out, quiet: flags.quiet === true, clock })
  const locks = await takeLocks(
    plan.jobs.map(({ item }) => item),
    lockScope(settings),
    name,
    waitSeconds,
  )
  const hosts = openHosts(settings, name)
  const opened = new Map<string, AppendOnlyStore>()
  const store = (storeName: StoreName, bucket: BucketName) => {
    const key = `${storeName}/${bucket}`
    const found = opened.get(key) ?? openStore(storeName, bucket, settings)
    opened.set(key, found)
    return found
  }
  try {
    const report = await carryOut(plan, {
      settings,
      locks,
      host: (host) => hosts.get(host),
      store,
      acceptShrink: flags['accept-shrink'] === true,
      watch: show,
      clock,
    })
    if (name === 'backup-verda') report.safeToShutDown = reasonsAgainstShutdown(report).length === 0
    await keepReport(plan, report, settings, store, show.problem)
    if (flags.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
    show.end(report)
    return exitCode(report)
  } finally {
    await locks.release()
    await hosts.close()
  }
}

function readRequest(command: CommandName, flags: Flags): Request {
  const only = listOf(flags.only)
  const to = listOf(flags.to)
  return { command, quick: flags.quick === true, ...(only ? { only } : {}), ...(to ? { to } : {}) }
}

function readSeconds(value: string | true | undefined): number {
  if (value === undefined) return 0
  if (typeof value === 'string' && /^\d{1,6}$/.test(value)) return Number(value)
  throw new FlagError(`--wait takes whole seconds; it was given ${JSON.stringify(value)}`)
}

/** Runs to the same places must not work on the same item at once; drills in other folders may. */
function lockScope({ environment, sfs, melloBackups, r2, hetzner }: Settings): string {
  return JSON.stringify([environment, sfs.cache, melloBackups, r2?.endpoint, r2?.buckets, hetzner?.endpoint])
}

/** Into every store of the plan that can be reached: what kept an item out of it is told there as well. */
async function keepReport(
  plan: Plan,
  report: Report,
  settings: Settings,
  open: (name: StoreName, bucket: BucketName) => AppendOnlyStore,
  problem: (text: string) => void,
): Promise<void> {
  const folder = plan.environment === 'production' ? '' : `${plan.environment}/`
  for (const name of new Set(plan.jobs.flatMap(({ targets }) => targets.map(({ store }) => store)))) {
    const store = open(name, 'cache')
    const worked = report.items.some(({ stores }) => stores[name] && stores[name].status !== 'failed')
    try {
      if (!worked) await store.probe()
      await saveReport(store, folder, report)
      if (stores[name].rotates) await forgetReports(openSfs(settings), folder, runReportDays, plan.now)
    } catch (error) {
      // Where nothing at all could be stored, every item has said so already.
      if (!worked) continue
      const text = `the run's report could not be kept in ${name}: ${messageOf(error)}`
      report.problems.push(text)
      report.ok = false
      problem(text)
    }
  }
}
