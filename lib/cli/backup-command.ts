import path from 'node:path'
import { carryOut } from '../backup.ts'
import { openHosts } from '../hosts/open.ts'
import type { BucketName, CommandName, StoreName } from '../inventory.ts'
import { lockScope } from '../lock-scope.ts'
import { takeLocks } from '../locks.ts'
import { messageOf } from '../message.ts'
import { checkName, pinger } from '../ping.ts'
import { makePlan, type Plan } from '../plan.ts'
import { exitCode, type Report } from '../report.ts'
import { keepReport } from '../run-reports.ts'
import { type Request, selectItems } from '../select.ts'
import { loadEnvironment, readSettings, type Settings } from '../settings.ts'
import { reasonsAgainstShutdown } from '../shutdown.ts'
import { openStore } from '../stores/open.ts'
import type { AppendOnlyStore } from '../stores/store.ts'
import { FlagError, type Flags, listOf } from './flags.ts'
import { lastWords, planText, showRun } from './show.ts'

/** A backup command from its command line to its exit code. */
export async function backupCommand(name: CommandName, flags: Flags): Promise<number> {
  const request = readRequest(name, flags)
  const waitSeconds = readSeconds(flags.wait)
  const selected = selectItems(request)
  const environment = loadEnvironment(path.resolve(import.meta.dirname, '../..'))
  const dryRun = flags['dry-run'] === true
  const ping = pinger(dryRun ? undefined : environment.BACKUP_PING_URL, checkName(name, request.only))
  try {
    const named = selected.flatMap((one) => one.stores)
    const needed = named.filter((store) => store !== 'hetzner' || request.to?.includes(store))
    const settings = readSettings(environment, needed)
    const plan = makePlan(name, selected, settings, settings.now ?? new Date())
    if (dryRun) {
      process.stdout.write(`${flags.json ? JSON.stringify(plan, null, 2) : planText(plan)}\n`)
      return 0
    }
    await ping.start()
    const report = await run(plan, settings, flags, waitSeconds)
    const code = exitCode(report)
    if (code !== 75) await ping.end(code === 0, lastWords(report))
    return code
  } catch (error) {
    await ping.end(false, messageOf(error))
    throw error
  }
}

/** Carries the plan out and tells of it. */
async function run(plan: Plan, settings: Settings, flags: Flags, waitSeconds: number): Promise<Report> {
  const { command, jobs } = plan
  const clock = () => settings.now ?? new Date()
  const show = showRun({
    out: flags.json ? process.stderr : process.stdout,
    quiet: flags.quiet === true,
    clock,
  })
  const names = jobs.map(({ item }) => item)
  const locks = await takeLocks(names, lockScope(settings), command, waitSeconds)
  const hosts = openHosts(settings, command)
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
    if (command === 'backup-verda') report.safeToShutDown = reasonsAgainstShutdown(report).length === 0
    await keepReport(plan, report, store, show.problem)
    if (flags.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
    show.end(report)
    return report
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
