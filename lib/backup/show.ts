import { Progress } from '../cli/progress.ts'
import { bytesInWords, entry, groupBy, logLine, ownLine } from '../text.ts'
import type { RunEvent } from './context.ts'
import type { Plan } from './plan.ts'
import { exitCode, type FileOutcome, type ItemOutcome, type Report, type StoreOutcome } from './report.ts'

export interface ShowOptions {
  /** Where lines go. */
  out: { write(text: string): unknown }
  /** Only failures. */
  quiet: boolean
  /** The run covers only a part, and cannot know whether Verda may be shut down. */
  isPart?: boolean
  clock(): Date
}

/** Shows a run's progress: a dated line per item for cron's log, and a spinner on a terminal. */
export function showRun({ out, quiet, clock, isPart }: ShowOptions): (event: RunEvent) => void {
  const progress = quiet ? undefined : Progress.on(process.stderr)
  const told = new Map<string, string>()
  /** Stores that the log has already mentioned. */
  const waiting = new Set<string>()
  return (event) => {
    if (event.kind === 'total') return progress?.expect(event.bytes, event.about)
    if (event.kind === 'doing') return progress?.doing(event.text)
    if (event.kind === 'retry') {
      progress?.doing(`${event.text}; trying again (${event.failed} of ${event.attempts} tries failed)`)
      if (quiet || event.failed < retriesUntold || waiting.has(event.store)) return
      waiting.add(event.store)
      progress?.stop()
      out.write(
        logLine(
          clock(),
          `waiting for ${event.store}: ${event.text}; trying again, up to ${event.attempts} times`,
        ),
      )
      return progress?.resume()
    }
    if (event.kind === 'bytes') return progress?.add(event.bytes)
    progress?.stop()
    for (const text of linesOf(event, quiet, told)) out.write(logLine(clock(), text))
    if (event.kind === 'item started') progress?.start(`${event.job.item}: ${event.job.title}`)
    if (event.kind === 'file done') progress?.resume()
    if (event.kind === 'end' && !quiet && !isPart && event.report.safeToShutDown !== undefined)
      out.write(`${entry(shutdownLine(event.report))}\n`)
  }
}

/** The log does not mention brief retries. */
const retriesUntold = 3

/** The log's lines for an event. */
function linesOf(event: RunEvent, quiet: boolean, told: Map<string, string>): string[] {
  switch (event.kind) {
    case 'item started':
    case 'total':
    case 'bytes':
    case 'doing':
    case 'retry':
      return []
    case 'file done':
      return quiet && event.outcome.status !== 'failed'
        ? []
        : [storeLine(event.item, event.store, event.outcome)]
    case 'item done': {
      const { status, busy, warnings } = event.outcome
      const matters = status === 'failed' || busy !== undefined || warnings !== undefined
      return quiet && !matters ? [] : itemLines(event.outcome, told)
    }
    case 'rotated':
      return quiet ? [] : [`rotated ${event.store}: removed ${event.key}: ${event.reasons.join('; ')}`]
    case 'problem':
      return [`PROBLEM ${event.text}`]
    case 'warning':
      return [`warning ${event.text}`]
    case 'end':
      return quiet && event.report.ok ? [] : [summary(event.report)]
  }
}

/**
 * An item's log lines, one per store, each with its name for grep. `told`: earlier failures' reasons, each
 * with its first item; an unreachable host is explained once.
 */
function itemLines(
  { item, status, reason, incomplete, stores, warnings }: ItemOutcome,
  told: Map<string, string>,
): string[] {
  const entries = Object.entries(stores)
  const done = entries.filter(([, outcome]) => outcome.status !== 'failed')
  return [
    ...(entries.length === 0 ? [`${status} ${item}: ${reason ?? ''}`] : []),
    ...done.map(([store, outcome]) => storeLine(item, store, outcome)),
    ...failureLines(item, stores, told),
    ...failedFiles(item, stores),
    ...(incomplete === undefined ? [] : [`FAILED ${item}: ${incomplete}`]),
    ...(warnings ?? []).map((warning) => `warning ${item}: ${warning}`),
  ]
}

/** Stores that failed for one reason share a line. */
function failureLines(item: string, stores: ItemOutcome['stores'], told: Map<string, string>): string[] {
  const failed = Object.entries(stores).filter(([, { status }]) => status === 'failed')
  return [...groupBy(failed, ([, { error = '' }]) => error)].map(([error, alike]) => {
    const names = alike.map(([store]) => store)
    const earlier = told.get(error)
    if (earlier === undefined) told.set(error, item)
    return `FAILED ${item} -> ${names.join(', ')}: ${earlier === undefined ? error : `as ${earlier} above`}`
  })
}

/** The files that reached a store although the item failed there. */
function failedFiles(item: string, stores: ItemOutcome['stores']): string[] {
  return Object.entries(stores).flatMap(([store, { status, files = [], bytes }]) =>
    status === 'failed' && files.some((file) => file.status !== 'failed')
      ? [`${item} -> ${store}: ${filesText(files, bytes)}`]
      : [],
  )
}

function storeLine(
  item: string,
  store: string,
  { status, key, bytes, sha256, files, error }: StoreOutcome,
): string {
  if (status === 'failed') return `FAILED ${item} -> ${store}: ${error}`
  if (files) return `${status} ${item} -> ${store}: ${filesText(files, bytes)}`
  return `${status} ${item} -> ${store}: ${key} (${bytesInWords(bytes ?? 0)}${sha256 ? `, sha256 ${sha256.slice(0, 12)}` : ''})`
}

/** `15 files stored (12 GB), 3 there already` */
function filesText(files: readonly FileOutcome[], bytes = 0): string {
  const count = (status: string) => files.filter((file) => file.status === status).length
  const [stored, there] = [count('stored'), count('unchanged')]
  if (stored === 0) return `${there} files there already`
  return `${stored} files stored (${bytesInWords(bytes)}), ${there} there already`
}

/** The last line: what was done, and the names of what was not. An item may count as both, by store. */
function summary(report: Report): string {
  const { command, ok, items, problems, output, ping } = report
  const count = (status: string) => items.filter((item) => item.status === status).length
  const names = (some: readonly ItemOutcome[]) =>
    some.length > 0 ? ` (${some.map(({ item }) => item).join(', ')})` : ''
  const failed = items.filter(({ status }) => status === 'failed')
  const busy = items.filter((item) => item.busy !== undefined)
  const stored = items.filter(({ stores }) => Object.values(stores).some(hasStored))
  const parts = [
    `${stored.length} stored`,
    `${count('unchanged')} unchanged`,
    `${count('skipped')} skipped`,
    ...(busy.length > 0 ? [`${busy.length} busy${names(busy)}`] : []),
    `${failed.length} failed${inStores(failed)}${names(failed)}`,
    ...(problems.length > 0 ? [`${problems.length} problem${problems.length > 1 ? 's' : ''}`] : []),
    ...(output ? [`output lost (${output[0]?.error})`] : []),
    ...(ping && !ping.ok ? ['ping failed'] : []),
  ]
  return `${exitCode(report) === 75 ? 'BUSY' : ok ? 'OK' : 'FAILED'} ${command}: ${parts.join(', ')}`
}

function hasStored({ status, files = [] }: StoreOutcome): boolean {
  return status === 'stored' || files.some((file) => file.status === 'stored')
}

/** Where items failed, unless everywhere. */
function inStores(failed: readonly ItemOutcome[]): string {
  const outcomes = failed.flatMap(({ stores }) => Object.entries(stores))
  const of = (bad: boolean) => outcomes.filter(([, { status }]) => (status === 'failed') === bad)
  if (of(false).length === 0 || of(true).length === 0) return ''
  return ` in ${[...new Set(of(true).map(([store]) => store))].join(' and ')}`
}

/** What an interrupted run has done and not done; `done`: items with a known outcome. */
export function breakText({ command, jobs }: Plan, done: readonly ItemOutcome[]): string {
  const good = done.filter(({ status }) => status === 'stored' || status === 'unchanged')
  const names = good.map(({ item }) => item)
  const left = jobs.map(({ item }) => item).filter((item) => !names.includes(item))
  return (
    `${command}: interrupted. Done: ${names.join(', ') || 'nothing'}. Not done: ${left.join(', ') || 'the report of the run'}. ` +
    `What was half sent does not count${earlierText(jobs)}.\n` +
    `To do the rest (what is done is only compared): ${ownLine()}`
  )
}

/** Only on SFS may an earlier copy be gone, and then a whole newer one is there. */
function earlierText(jobs: Plan['jobs']): string {
  return jobs.some(({ targets }) => targets.some(({ store }) => store === 'sfs'))
    ? '. Earlier copies stay, except those on SFS that a verified new one replaced or rotated away'
    : ', and no earlier copy was touched'
}

/** The failures and the summary, for the operator on call. */
export function lastWords(report: Report): string {
  const told = new Map<string, string>()
  const failed = report.items
    .filter(({ status, busy }) => status === 'failed' || busy !== undefined)
    .flatMap((outcome) => itemLines(outcome, told))
  return [...failed, ...report.problems, summary(report)].join('\n')
}

/** One line for the operator who is about to shut down Verda. */
function shutdownLine(report: Report): string {
  if (report.safeToShutDown) return 'SAFE TO SHUT DOWN'
  return `NOT SAFE TO SHUT DOWN: ${(report.againstShutdown ?? []).join('; ')}`
}

/** A plan as text: what goes where under which names, what rotation keeps, and what would go wrong. */
export function planText(plan: Plan, problems: readonly string[]): string {
  const lines = [`${plan.command} in ${plan.environment} at ${plan.now.toISOString()} would do this:`]
  for (const { item, host, capture, targets } of plan.jobs) {
    const from =
      capture.kind === 'files' || capture.kind === 'repository'
        ? capture.sources.map(({ path, match }) => (match ? `${path}/${match}` : path)).join(', ')
        : capture.kind
    lines.push(`  ${item}: ${from} on ${host}`)
    for (const { store, folder, stamp, keep } of targets) {
      const name = stamp === 'file' ? '<folder>/<file>' : `${item}-<${stamp}>.tar.gz`
      const rule = keep
        ? `; keeps ${Object.entries(keep)
            .map(([period, count]) => `${count} ${period}`)
            .join(', ')}`
        : ''
      lines.push(`    -> ${store}: ${folder}${name}${rule}`)
    }
  }
  for (const { item, reason } of plan.skipped) lines.push(`  ${item}: left out, ${reason}`)
  for (const problem of problems) lines.push(entry(`PROBLEM ${problem}`))
  if (problems.length > 0) lines.push(`FAILED ${plan.command} --dry-run: a run now would be incomplete`)
  return lines.join('\n')
}
