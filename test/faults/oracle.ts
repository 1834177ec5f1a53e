import { checkAppendOnly, checkRotating } from './oracle/history.ts'
import { checkLeftovers, checkLog, checkProcesses } from './oracle/leftovers.ts'
import { type Backup, backupsIn, checkBackups, isDamaged, unpacker } from './oracle/records.ts'
import { checkReports, type Told } from './oracle/reports.ts'
import { type Views, viewer } from './oracle/view.ts'
import type { StoreName, World } from './world.ts'

const storeNames: readonly StoreName[] = ['sfs', 'mello', 'r2']

interface Looked {
  views: Views
  backups: Record<StoreName, Backup[]>
}

export interface Oracle {
  /** Violations, in words; empty if all is well. `whole`: no run was broken, so none left anything. */
  judge(told: Told & { whole: boolean }): Promise<string[]>
  /** Takes the current content as the new baseline: the campaign itself changed it. */
  accept(): Promise<void>
  /** The good backups in all stores. */
  good(): Backup[]
  /** Whether it, or what it builds on, was damaged. */
  isCutOff(store: string, key: string): boolean
  unpack: ReturnType<typeof unpacker>
}

/**
 * Reports whether anything was lost or misreported. It shares only names and the record format with the code:
 * it reads stores by hand, unpacks archives with tar and compares them with the recorded sources.
 */
export async function oracleOf(world: World): Promise<Oracle> {
  const look = viewer(world)
  const unpack = unpacker(world)
  let before = await lookAround()

  async function lookAround(): Promise<Looked> {
    const views = await look()
    const of = (store: StoreName) => backupsIn(store, views[store])
    return { views, backups: { sfs: of('sfs'), mello: of('mello'), r2: of('r2') } }
  }

  return {
    async judge({ whole, ...told }) {
      const strays = await checkProcesses(world)
      const after = await lookAround()
      const all = Object.values(after.backups).flat()
      // An archive that fits its record again has been replaced.
      for (const { store, key, wrong } of all)
        if (wrong === undefined) world.damaged.delete(`${store} ${key}`)
      const part = (store: StoreName, { views, backups }: Looked) => ({
        view: views[store],
        backups: backups[store],
      })
      const problems = [
        ...strays,
        ...storeNames.flatMap((store) =>
          checkBackups(world, after.views[store], after.backups[store], unpack),
        ),
        ...checkAppendOnly('mello', before.views.mello, after.views.mello),
        ...checkAppendOnly('r2', before.views.r2, after.views.r2),
        ...checkRotating(world, part('sfs', before), part('sfs', after), told.now),
        ...checkReports({ world, views: after.views, backups: all, unpack }, told),
        ...checkLog(world),
        ...(whole
          ? await checkLeftovers(world, after.views, all, Object.keys(told.asked), captured(told))
          : []),
      ]
      before = after
      return problems
    },
    async accept() {
      before = await lookAround()
    },
    good: () =>
      Object.values(before.backups)
        .flat()
        .filter((backup) => backup.wrong === undefined && !isDamaged(world, backup)),
    isCutOff: (store, key) =>
      Object.values(before.backups)
        .flat()
        .some((backup) => backup.store === store && backup.key === key && isDamaged(world, backup)),
    unpack,
  }
}

/** Whether a run packed files; models, images and credentials are captured in other ways. */
function captured({ runs }: Told): boolean {
  return runs.some(({ stdout }) =>
    /"item": "(?!models|credentials|comfyume-)[^"]*",\s+"status": "stored"/.test(stdout),
  )
}
