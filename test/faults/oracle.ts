import { checkAppendOnly, checkRotating } from './oracle/history.ts'
import { checkLeftovers, checkLog, checkProcesses } from './oracle/leftovers.ts'
import { type Backup, backupsIn, checkBackups, unpacker } from './oracle/records.ts'
import { checkReports, type Told } from './oracle/reports.ts'
import { type Views, viewer } from './oracle/view.ts'
import type { StoreName, World } from './world.ts'

const storeNames: readonly StoreName[] = ['sfs', 'mello', 'r2']

interface Looked {
  views: Views
  backups: Record<StoreName, Backup[]>
}

export interface Oracle {
  /** What is not as it must be after runs, in words; nothing, when all is well. `whole`: none of them was broken, so nothing of any may be left. */
  judge(told: Told & { whole: boolean }): Promise<string[]>
  /** Takes what lies there now for what has to stay: the campaign itself changed it. */
  accept(): Promise<void>
  /** The backups that are whole, of all stores. */
  good(): Backup[]
  unpack: ReturnType<typeof unpacker>
}

/**
 * Says whether anything was lost, or passed off for what it is not. It knows nothing of the project but its names and what a record looks like: it
 * reads stores by hand, unpacks archives with tar, and compares them with what the sources were.
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
      // What fits its record again is another one by now.
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
        .filter(({ store, key, wrong }) => wrong === undefined && !world.damaged.has(`${store} ${key}`)),
    unpack,
  }
}

/** Whether a run packed files: models, images and credentials are taken in other ways. */
function captured({ runs }: Told): boolean {
  return runs.some(({ stdout }) =>
    /"item": "(?!models|credentials|comfyume-)[^"]*",\s+"status": "stored"/.test(stdout),
  )
}
