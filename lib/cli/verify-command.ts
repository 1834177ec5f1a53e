import path from 'node:path'
import { type StoreName, stores } from '../inventory.ts'
import { messageOf } from '../message.ts'
import { checkName, pinger } from '../ping.ts'
import { selectStored, selectStores } from '../select.ts'
import { loadEnvironment, readSettings, type Settings } from '../settings.ts'
import { stateFolder } from '../state-folder.ts'
import { readBudget } from '../verify/budget.ts'
import { openMemory } from '../verify/memory.ts'
import { planReads, type VerifyRequest } from '../verify/plan.ts'
import { surveyStore } from '../verify/survey.ts'
import { verify } from '../verify/verify.ts'
import { runDrill } from './drill.ts'
import { FlagError, type Flags, listOf } from './flags.ts'
import { lastWordsOfVerify, showVerify, verifyPlanJson, verifyPlanText } from './show-verify.ts'

/** verify, from its command line to its exit code. */
export async function verifyCommand(flags: Flags): Promise<number> {
  const request = readRequest(flags)
  const environment = loadEnvironment(path.resolve(import.meta.dirname, '../..'))
  const dryRun = flags['dry-run'] === true
  const asked = [...(request.named ?? []), ...(listOf(flags.only) ?? [])]
  const ping = pinger(
    dryRun ? undefined : environment.BACKUP_PING_URL,
    checkName('verify', asked.length > 0 ? asked : undefined),
  )
  try {
    const settings = readSettings(environment, request.named)
    if (!dryRun) await ping.start()
    if (flags.drill) return await runDrill(request.named, settings, flags, (ok, text) => ping.end(ok, text))
    const code = await run(request, settings, flags, environment.XDG_STATE_HOME, (ok, text) =>
      ping.end(ok, text),
    )
    return code
  } catch (error) {
    await ping.end(false, messageOf(error))
    throw error
  }
}

async function run(
  request: VerifyRequest,
  settings: Settings,
  flags: Flags,
  xdgStateHome: string | undefined,
  ended: (ok: boolean, text: string) => Promise<void>,
): Promise<number> {
  const clock = () => settings.now ?? new Date()
  const show = showVerify({
    out: flags.json ? process.stderr : process.stdout,
    quiet: flags.quiet === true,
    clock,
  })
  const folder = path.join(stateFolder(xdgStateHome), 'verify')
  const early: string[] = []
  const names = request.named ?? (Object.keys(stores) as StoreName[])
  show.looking(names)
  const found = await Promise.all(
    names.map(async (name) => ({
      view: await surveyStore(name, request.selected, settings, request.named !== undefined),
      memory: await openMemory(folder, placeOf(name, settings), (text) => early.push(text)),
    })),
  )
  const plan = planReads(request, found, settings, clock(), Math.random, flags.only === undefined)
  if (flags['dry-run']) {
    show.stop()
    process.stdout.write(`${flags.json ? verifyPlanJson(plan) : verifyPlanText(plan)}\n`)
    return plan.stores.some(({ view }) => view.failures.length > 0) ? 1 : 0
  }
  show.plan(plan)
  for (const text of early) show.warning(text)
  const report = await verify(plan, settings, clock, show)
  report.warnings.unshift(...early)
  if (flags.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  show.end(report)
  await ended(report.ok, lastWordsOfVerify(report))
  return report.ok ? 0 : 1
}

function readRequest(flags: Flags): VerifyRequest {
  const named = listOf(flags.store)
  const budget = typeof flags.bytes === 'string' ? readBudget(flags.bytes) : undefined
  if (flags.bytes !== undefined && budget === undefined) {
    throw new FlagError(
      `--bytes takes a size such as 20G, 500M, 1.5T or 1048576 (units of 1024), more than nothing; it was given ${JSON.stringify(flags.bytes)}`,
    )
  }
  if (flags.sample && budget === undefined)
    throw new FlagError('--sample chooses what a budget is spent on: it needs --bytes N')
  if (flags.drill && (flags.adopt || flags.sample || budget !== undefined))
    throw new FlagError('--drill restores the newest of everything: it goes with --store and --only alone')
  return {
    selected: flags.drill ? [] : selectStored(listOf(flags.only)),
    ...(named ? { named: selectStores(named) } : {}),
    ...(budget !== undefined ? { budget } : {}),
    sample: flags.sample === true,
    adopt: flags.adopt === true,
  }
}

/** A text that only this store has: machines and drills may have several of one name. */
function placeOf(name: StoreName, { environment, sfs, melloBackups, r2, hetzner }: Settings): string {
  const objects = (access: typeof r2) => JSON.stringify([access?.endpoint, access?.buckets])
  const where = { sfs: sfs.cache, mello: melloBackups, r2: objects(r2), hetzner: objects(hetzner) }
  return `${name} ${environment} ${where[name]}`
}
