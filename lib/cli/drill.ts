import type { StoreName } from '../inventory.ts'
import { logLine } from '../printable.ts'
import type { RestoreWatcher } from '../restore/site.ts'
import type { Settings } from '../settings.ts'
import { type Drilled, type DrillReport, drill, planDrill } from '../verify/drill.ts'
import { type Flags, listOf } from './flags.ts'
import { Progress } from './progress.ts'
import { restorePlanText } from './show-restore-plan.ts'
import { bytesInWords } from './words.ts'

/** `verify --drill` to its exit code. */
export async function runDrill(
  stores: readonly StoreName[] | undefined,
  settings: Settings,
  flags: Flags,
  ended: (ok: boolean, text: string) => Promise<void>,
): Promise<number> {
  const clock = () => settings.now ?? new Date()
  const out = flags.json ? process.stderr : process.stdout
  const only = listOf(flags.only)
  const request = { ...(only ? { only } : {}), ...(stores ? { stores } : {}) }
  if (flags['dry-run']) {
    const { site, steps } = await planDrill(settings, request, clock(), watchWith(undefined))
    process.stdout.write(
      `${flags.json ? JSON.stringify(site.plan, null, 2) : restorePlanText(site.plan, steps)}\n`,
    )
    return 0
  }
  const progress = flags.quiet ? undefined : Progress.on(process.stderr)
  const line = (text: string) => {
    progress?.stop()
    out.write(logLine(clock(), text))
  }
  const report = await drill(settings, request, watchWith(progress), clock, (drilled) => {
    if (!flags.quiet || drilled.status === 'not restorable') line(lineOf(drilled))
  })
  const last = summary(report)
  if (flags.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  if (!flags.quiet || !report.ok) line(last)
  const failed = report.items.filter(({ status }) => status === 'not restorable').map(lineOf)
  await ended(report.ok, [...failed, last].join('\n'))
  return report.ok ? 0 : 1
}

/** A drill's steps are told by what comes of their items; only what is under way is shown. */
function watchWith(progress: Progress | undefined): RestoreWatcher {
  return {
    started: (title) => progress?.start(title),
    total: (bytes) => progress?.expect(bytes),
    bytes: (bytes) => progress?.add(bytes),
    note() {},
    itemDone() {},
    stepDone: () => progress?.stop(),
    checked() {},
  }
}

function lineOf({ item, status, reason, source, key, time, bytes, passed = [] }: Drilled): string {
  if (status === 'left out') return `left out ${item}: ${reason ?? ''}`
  if (status === 'not restorable') return `NOT RESTORABLE ${item}: ${reason ?? ''}`
  const from = key === undefined ? '' : ` <- ${source}: ${key}${time ? ` of ${time.slice(0, 16)}Z` : ''}`
  const over =
    passed.length > 0
      ? `; passed over: ${passed.map((copy) => `${copy.key} in ${copy.source} (${copy.reason})`).join(', ')}`
      : ''
  return `restorable ${item}${from}${bytes === undefined ? '' : ` (${bytesInWords(bytes)})`}${over}`
}

function summary({ ok, items }: DrillReport): string {
  const named = (status: Drilled['status']) =>
    items.filter((item) => item.status === status).map(({ item }) => item)
  const not = named('not restorable')
  return `${ok ? 'OK' : 'FAILED'} verify --drill: ${named('restorable').length} restorable, ${named('left out').length} left out, ${not.length} not restorable${not.length > 0 ? ` (${not.join(', ')})` : ''}`
}
