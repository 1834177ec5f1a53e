import type { ObjectStoreName } from '../stores/open.ts'
import { type Check, type Group, groups } from './check.ts'
import { clockCheckAgainst, clockChecks, clockChecksOnMello } from './clock.ts'
import type { Context } from './context.ts'
import { cronChecks } from './cron.ts'
import { directoryStoreChecks } from './directory-stores.ts'
import { gitChecks } from './git-store.ts'
import { hostChecksOnMello, hostChecksOnVerda } from './hosts.ts'
import { mountChecks, mountChecksOnMello } from './mounts.ts'
import { objectStoreChecks } from './object-stores.ts'
import { pingChecks } from './ping.ts'
import { runtimeChecks } from './runtime.ts'
import { settingChecks } from './settings.ts'
import { sourceChecks } from './sources.ts'
import { toolChecks, toolChecksOnVerda } from './tools.ts'

/** Every check of this machine, in the order in which they are printed. */
export function checksFor({ on, settings, settingProblems, jobs }: Context): Check[] {
  const onMello = on === 'mello'
  const isNamed = (name: ObjectStoreName) =>
    settingProblems.some((problem) => problem.startsWith(`${name.toUpperCase()}_`))
  const objectStores = (['r2', 'hetzner'] as const).filter(
    (name) => settings[name] !== undefined || isNamed(name),
  )
  const checks = [
    ...settingChecks,
    ...toolChecks,
    ...(onMello && settings.verdaSsh !== 'local' ? toolChecksOnVerda : []),
    ...runtimeChecks,
    ...(onMello ? hostChecksOnMello : hostChecksOnVerda),
    ...mountChecks,
    ...(onMello ? mountChecksOnMello : []),
    ...clockChecks,
    ...(onMello ? clockChecksOnMello : []),
    ...objectStores.map(clockCheckAgainst),
    ...cronChecks,
    ...sourceChecks(jobs),
    ...directoryStoreChecks(on),
    ...objectStores.flatMap(objectStoreChecks),
    ...(onMello && settings.repositories.credentials !== undefined ? gitChecks : []),
    ...pingChecks,
  ]
  const order = (group: Group) => groups.indexOf(group)
  return checks.toSorted((a, b) => order(a.group) - order(b.group))
}
