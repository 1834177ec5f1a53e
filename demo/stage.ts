import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { RunContext } from '../lib/backup/context.ts'
import { keepReport } from '../lib/backup/kept-reports.ts'
import { makePlan, type Plan } from '../lib/backup/plan.ts'
import type { Report } from '../lib/backup/report.ts'
import { begin } from '../lib/backup/run.ts'
import { selectItems } from '../lib/backup/select.ts'
import { showRun } from '../lib/backup/show.ts'
import { openHosts } from '../lib/hosts/open.ts'
import { readSettings, type Settings } from '../lib/settings/settings.ts'
import { openSfs } from '../lib/stores/open.ts'
import type { RotatingStore } from '../lib/stores/store.ts'
import type { Narrator } from './narrator.ts'
import type { Stock } from './stock.ts'

/** The scene of the demo: a scratch folder with a Verda and its share, and its own clock. */
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
  /** The files before the instance was lost. */
  before: Stock
  /** Called when the story ends. */
  closers: (() => Promise<void>)[]
}

/** An empty stage in a new folder. It reads no settings of this machine and touches no real installation. */
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

/** Plans what one line of Verda's crontab asks for: the default set, or named items. */
export function planRun({ settings }: Stage, now: Date, only?: string[]): Plan {
  return makePlan(
    'backup-cron',
    selectItems({ command: 'backup-cron', ...(only ? { only } : {}) }),
    settings,
    now,
  )
}

/** The groups stored so far, as --only names them. */
export function groupsBackedUp({ settings }: Stage): string[] {
  return ['config', 'scripts', ...(settings.r2 ? ['user-data', 'models'] : [])]
}

/** Runs backup-cron at a simulated time, with the real plan and code path. */
export async function backUp(
  stage: Stage,
  plan: Plan,
  emit: RunContext['emit'] = unheard(plan),
): Promise<Report> {
  stage.now = plan.now
  return runPlan(plan, stage.settings, () => stage.sfs, emit)
}

/** Runs any backup command without locks: no other run exists here. */
export async function runPlan(
  plan: Plan,
  settings: Settings,
  store: RunContext['store'],
  emit: RunContext['emit'] = unheard(plan),
): Promise<Report> {
  const hosts = openHosts(settings, plan.command)
  const run = begin(plan, {
    // Uses the stage's clock.
    settings: { ...settings, now: plan.now },
    locks: { busy: new Map() },
    host: (name) => hosts.get(name),
    store,
    acceptShrink: false,
    emit,
    clock: () => plan.now,
  })
  for (const job of run.jobs)
    await run.item(job, async (item) => {
      const found = await item.survey()
      return item.rotate(await found.store())
    })
  const report = run.end()
  await keepReport(plan, report, store, (text) => emit({ kind: 'problem', text }))
  return report
}

function unheard({ now }: Plan): RunContext['emit'] {
  return showRun({ out: { write: () => true }, quiet: true, clock: () => now })
}
