import path from 'node:path'
import { locksOf, takeLocks } from '../../lib/backup/locks.ts'
import { makePlan } from '../../lib/backup/plan.ts'
import { selectItems, selectStored } from '../../lib/backup/select.ts'
import { openHosts } from '../../lib/hosts/open.ts'
import type { CommandName, StoreName } from '../../lib/inventory.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { type Assessment, assess } from '../../lib/status/judge/assess.ts'
import { vantageOf } from '../../lib/status/look/access.ts'
import { gather } from '../../lib/status/look/gather.ts'
import { openStore } from '../../lib/stores/open.ts'
import type { VerifyReport } from '../../lib/verify/read.ts'
import { planVerify, verify } from '../../lib/verify/verify.ts'
import { carryOut } from './carry-out.ts'
import type { Workshop } from './workshop.ts'

export interface Asked {
  /** ISO. */
  now: string
  only?: string[]
  stores?: StoreName[]
  adopt?: boolean
  budget?: number
  /** This machine's memory; another name means another machine. */
  machine?: string
}

export const settingsAt = ({ verda }: Workshop, now: string, more: Record<string, string> = {}) =>
  readSettings({ ...verda.settings, HOME: verda.folder, BACKUP_NOW: now, ...more }, [])

/** What a backup command does between its flags and its report, in this process. */
export async function backUp(
  workshop: Workshop,
  command: CommandName,
  { now, only, stores, accept = false }: Asked & { accept?: boolean },
) {
  const settings = settingsAt(workshop, now)
  const plan = makePlan(command, selectItems({ command, only, to: stores }), settings, new Date(now))
  const locks = await takeLocks(locksOf(plan.jobs, settings), command)
  const hosts = openHosts(settings, command)
  try {
    return await carryOut(plan, {
      settings,
      locks,
      host: (name) => hosts.get(name),
      store: (name, bucket) => openStore(name, bucket, settings),
      acceptShrink: accept,
      emit() {},
      clock: () => new Date(now),
    })
  } finally {
    await locks.release()
    await hosts.close()
  }
}

/** What `verify` does between its flags and its report. */
export async function verifyIn(
  workshop: Workshop,
  { now, only, stores, adopt = false, budget, machine = 'state' }: Asked,
): Promise<VerifyReport> {
  const settings = settingsAt(workshop, now)
  const request = {
    selected: selectStored(only),
    named: stores,
    budget,
    everything: only === undefined,
    sample: false,
    adopt,
  }
  const early: string[] = []
  const state = path.join(workshop.verda.folder, machine)
  const plan = await planVerify(request, settings, state, new Date(now), (text) => early.push(text))
  const report = await verify(
    plan,
    settings,
    () => new Date(now),
    () => {},
  )
  report.warnings.unshift(...early)
  return report
}

/** What `status` does between its flags and its output, without this machine's memory. */
export async function statusIn(
  workshop: Workshop,
  now: string,
  stores: readonly (StoreName | 'git')[],
  calendar = false,
): Promise<Assessment> {
  const settings = settingsAt(workshop, now)
  const vantage = vantageOf(settings)
  try {
    const { seen } = await gather({
      settings,
      vantage,
      wanted: new Set(stores),
      memory: {},
      markOff: false,
      calendar,
      now: new Date(now),
    })
    return assess(seen)
  } finally {
    await vantage[Symbol.asyncDispose]()
  }
}
