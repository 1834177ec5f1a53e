import { keepReport } from '../../lib/backup/kept-reports.ts'
import { makePlan, type Plan } from '../../lib/backup/plan.ts'
import { type Report, reasonsAgainstShutdown } from '../../lib/backup/report.ts'
import { type Request, selectItems } from '../../lib/backup/select.ts'
import type { BucketName, HostName, StoreName } from '../../lib/inventory.ts'
import type { AppendOnlyStore } from '../../lib/stores/store.ts'
import { carryOut } from '../scripts/carry-out.ts'
import type { Chance } from './chance.ts'
import { machineIn } from './machine.ts'
import { startProcess, storeIn, type World } from './world.ts'

export interface Ran {
  plan: Plan
  /** Absent if the run was killed. */
  report?: Report
}

export interface RunOptions {
  acceptShrink?: boolean
  /** Dies after this many acts that change a store. */
  diesAt?: number
}

/** Runs a backup as scripts/backup-*.ts does: the same plan and code path, and its report is kept. */
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
      locks: { busy: new Map() },
      host: (name) => machineIn(world, name, home, chance),
      store,
      acceptShrink,
      emit() {},
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
