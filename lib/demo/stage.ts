import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { carryOut } from '../backup.ts'
import { showRun } from '../cli/show.ts'
import { openHosts } from '../hosts/open.ts'
import { makePlan, type Plan } from '../plan.ts'
import type { Report } from '../report.ts'
import { keepReport } from '../run-reports.ts'
import { selectItems } from '../select.ts'
import { readSettings, type Settings } from '../settings.ts'
import { openSfs } from '../stores/open.ts'
import type { RotatingStore } from '../stores/store.ts'
import type { Watcher, Workplace } from '../workplace.ts'
import type { Narrator } from './narrator.ts'
import type { Stock } from './stock.ts'

/** Where the demo plays: a scratch folder with a Verda and its share in it, and a clock of its own. */
export interface Stage {
  folder: string
  /** The root of the small Verda's files. */
  verda: string
  settings: Settings
  sfs: RotatingStore
  weeks: number
  say: Narrator
  /** The simulated time of the last run. */
  now: Date
  /** What was there before the instance was lost. */
  before: Stock
  /** Called when the story ends. */
  closers: (() => Promise<void>)[]
}

/** An empty stage in a new folder. No setting of this machine is read: the demo touches nothing of a real installation. */
export async function openStage(weeks: number, say: Narrator): Promise<Stage> {
  const folder = await mkdtemp(path.join(tmpdir(), 'comfyume-demo-'))
  const verda = path.join(folder, 'verda')
  const share = path.join(folder, 'sfs')
  await mkdir(verda)
  await mkdir(share)
  const settings = readSettings({ VERDA_ROOT: verda, SFS_ROOT: share, SFS_REQUIRE_MOUNT: '0' })
  return {
    folder,
    verda,
    settings,
    sfs: openSfs(settings),
    weeks,
    say,
    now: new Date(0),
    before: new Map(),
    closers: [],
  }
}

/** What one line of Verda's crontab asks for: the default set, or items by name. */
export function planRun({ settings }: Stage, now: Date, only?: string[]): Plan {
  return makePlan(
    'backup-cron',
    selectItems({ command: 'backup-cron', ...(only ? { only } : {}) }),
    settings,
    now,
  )
}

/** What the story has brought into stores so far, as --only names it. */
export function groupsBackedUp({ settings }: Stage): string[] {
  return ['config', 'scripts', ...(settings.r2 ? ['user-data', 'models'] : [])]
}

/** A run of backup-cron at a simulated time: the same plan, the same way through it. */
export async function backUp(stage: Stage, plan: Plan, watch: Watcher = unheard(plan)): Promise<Report> {
  stage.now = plan.now
  return runPlan(plan, stage.settings, () => stage.sfs, watch)
}

/** A run of any of the backup commands, without locks: nobody else is on the stage. */
export async function runPlan(
  plan: Plan,
  settings: Settings,
  store: Workplace['store'],
  watch: Watcher = unheard(plan),
): Promise<Report> {
  const hosts = openHosts(settings, plan.command)
  const report = await carryOut(plan, {
    // The clock is the stage's, and not that of the files.
    settings: { ...settings, now: plan.now },
    locks: { held: new Set(), busy: new Map(), release: async () => {} },
    host: (name) => hosts.get(name),
    store,
    acceptShrink: false,
    watch,
    clock: () => plan.now,
  })
  await keepReport(plan, report, store, watch.problem)
  return report
}

function unheard({ now }: Plan): Watcher {
  return showRun({ out: { write: () => true }, quiet: true, clock: () => now })
}
