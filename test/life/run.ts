import { carryOut } from '../../lib/backup.ts'
import type { BucketName, HostName, StoreName } from '../../lib/inventory.ts'
import { makePlan, type Plan } from '../../lib/plan.ts'
import type { Report } from '../../lib/report.ts'
import { keepReport } from '../../lib/run-reports.ts'
import { type Request, selectItems } from '../../lib/select.ts'
import { reasonsAgainstShutdown } from '../../lib/shutdown.ts'
import type { AppendOnlyStore } from '../../lib/stores/store.ts'
import type { Watcher } from '../../lib/workplace.ts'
import type { Chance } from './chance.ts'
import { machineIn } from './machine.ts'
import { startProcess, storeIn, type World } from './world.ts'

export interface Ran {
  plan: Plan
  /** Absent for a run that was killed. */
  report?: Report
}

export interface RunOptions {
  acceptShrink?: boolean
  /** Killed when so many of its acts that change something in a store are done. */
  diesAt?: number
}

/** One backup, as lib/cli/backup-command.ts runs it: the same plan, the same way through it, its report kept. */
export async function runBackup(
  world: World,
  request: Request,
  chance: Chance,
  { acceptShrink = false, diesAt }: RunOptions = {},
): Promise<Ran> {
  const home: HostName = request.command === 'backup-cron' ? 'verda' : 'mello'
  const machine = world[home]
  const clock = () => new Date(world.now + machine.ahead)
  const { settings } = world
  const plan = makePlan(request.command, selectItems(request), settings, clock())
  const process = startProcess(machine, diesAt)
  const opened = new Map<string, AppendOnlyStore>()
  const store = (name: StoreName, bucket: BucketName) => {
    const key = `${name}/${bucket}`
    const found = opened.get(key) ?? storeIn(world, process, name, bucket)
    opened.set(key, found)
    return found
  }
  const killed = new Promise<undefined>((resolve) => {
    process.died = () => resolve(undefined)
  })
  const finished = async () => {
    const report = await carryOut(plan, {
      settings,
      locks: { held: new Set(), busy: new Map(), release: async () => {} },
      host: (name) => machineIn(world, name, home, chance),
      store,
      acceptShrink,
      watch: unheard,
      clock,
    })
    if (request.command === 'backup-verda')
      report.safeToShutDown = reasonsAgainstShutdown(report).length === 0
    await keepReport(plan, report, store, () => {})
    return report
  }
  const report = await (diesAt === undefined ? finished() : Promise.race([finished(), killed]))
  return { plan, ...(report ? { report } : {}) }
}

const unheard: Watcher = {
  itemStarted() {},
  total() {},
  bytes() {},
  fileDone() {},
  itemDone() {},
  rotated() {},
  problem() {},
}
