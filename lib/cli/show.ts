import type { Plan } from '../plan.ts'
import { entry, logLine } from '../printable.ts'
import { busyReason, type ItemOutcome, type Report, type StoreOutcome } from '../report.ts'
import { reasonsAgainstShutdown } from '../shutdown.ts'
import type { Watcher } from '../workplace.ts'
import { Progress } from './progress.ts'
import { bytesInWords } from './words.ts'

export interface ShowOptions {
  /** Where lines go. */
  out: { write(text: string): unknown }
  /** Only what went wrong. */
  quiet: boolean
  clock(): Date
}

/** Tells a run as it goes: a line an item, dated as cron's log needs it, and on a terminal a spinner for the item under way. */
export function showRun({ out, quiet, clock }: ShowOptions): Watcher & { end(report: Report): void } {
  const progress = quiet ? undefined : Progress.on(process.stderr)
  const line = (text: string) => {
    progress?.stop()
    out.write(logLine(clock(), text))
  }
  const told = new Map<string, string>()
  return {
    itemStarted: (job) => progress?.start(`${job.item}: ${job.title}`),
    total: (_job, bytes) => progress?.expect(bytes),
    bytes: (_job, bytes) => progress?.add(bytes),
    fileDone(job, store, { status, key, bytes, sha256, error }) {
      if (!quiet || status === 'failed')
        line(
          storeLine(job.item, store, {
            status,
            key,
            bytes,
            ...(sha256 ? { sha256 } : {}),
            ...(error ? { error } : {}),
          }),
        )
      progress?.resume()
    },
    itemDone(outcome) {
      progress?.stop()
      const busy = outcome.reason?.startsWith(busyReason)
      if (quiet && outcome.status !== 'failed' && !busy && !outcome.warnings) return
      for (const text of itemLines(outcome, told)) line(text)
    },
    rotated({ store, key, reasons }) {
      if (!quiet) line(`rotated ${store}: removed ${key}: ${reasons.join('; ')}`)
    },
    problem: (text) => line(`PROBLEM ${text}`),
    end(report) {
      if (!quiet || !report.ok) line(summary(report))
      if (!quiet && report.safeToShutDown !== undefined) out.write(`${entry(verdict(report))}\n`)
    },
  }
}

/**
 * An item's lines in the log: one a store, each with the item's name, so that grep finds them. `told`: the reasons for which earlier
 * items failed, each with the first of them; a host that cannot be reached is explained once.
 */
function itemLines(
  { item, status, reason, stores, warnings }: ItemOutcome,
  told: Map<string, string>,
): string[] {
  const entries = Object.entries(stores)
  const done = entries.filter(([, outcome]) => outcome.status !== 'failed')
  return [
    ...(entries.length === 0 ? [`${status} ${item}: ${reason ?? ''}`] : []),
    ...done.map(([store, outcome]) => storeLine(item, store, outcome)),
    ...failureLines(item, stores, told),
    ...(warnings ?? []).map((warning) => `warning ${item}: ${warning}`),
  ]
}

/** Stores that failed for one reason share a line. */
function failureLines(item: string, stores: ItemOutcome['stores'], told: Map<string, string>): string[] {
  const alike = new Map<string, string[]>()
  for (const [store, { status, error = '' }] of Object.entries(stores)) {
    if (status === 'failed') alike.set(error, [...(alike.get(error) ?? []), store])
  }
  return [...alike].map(([error, names]) => {
    const earlier = told.get(error)
    if (earlier === undefined) told.set(error, item)
    return `FAILED ${item} -> ${names.join(', ')}: ${earlier === undefined ? error : `as ${earlier} above`}`
  })
}

function storeLine(
  item: string,
  store: string,
  { status, key, bytes, sha256, files, error }: StoreOutcome,
): string {
  if (status === 'failed') return `FAILED ${item} -> ${store}: ${error}`
  if (files) {
    const there = files.filter((file) => file.status === 'unchanged').length
    return `${status} ${item} -> ${store}: ${files.length - there} files stored (${bytesInWords(bytes ?? 0)}), ${there} there already`
  }
  return `${status} ${item} -> ${store}: ${key} (${bytesInWords(bytes ?? 0)}${sha256 ? `, sha256 ${sha256.slice(0, 12)}` : ''})`
}

/** The last line: what was done and, by name, what was not. */
function summary({ command, ok, items, problems }: Report): string {
  const count = (status: string) => items.filter((item) => item.status === status).length
  const failed = items.filter(({ status }) => status === 'failed').map(({ item }) => item)
  const parts = [
    `${count('stored')} stored`,
    `${count('unchanged')} unchanged`,
    `${count('skipped')} skipped`,
    `${failed.length} failed`,
  ]
  const names = failed.length > 0 ? ` (${failed.join(', ')})` : ''
  const also = problems.length > 0 ? `, ${problems.length} problem${problems.length > 1 ? 's' : ''}` : ''
  return `${ok ? 'OK' : 'FAILED'} ${command}: ${parts.join(', ')}${names}${also}`
}

/** What failed, and the summary: what somebody who is called at night has to read. */
export function lastWords(report: Report): string {
  const told = new Map<string, string>()
  const failed = report.items
    .filter(({ status }) => status === 'failed')
    .flatMap((outcome) => itemLines(outcome, told))
  return [...failed, ...report.problems, summary(report)].join('\n')
}

/** What a person who is about to shut Verda down wants to know, on one line. */
function verdict(report: Report): string {
  if (report.safeToShutDown) return 'SAFE TO SHUT DOWN'
  return `NOT SAFE TO SHUT DOWN: ${reasonsAgainstShutdown(report).join('; ')}`
}

/** A plan for people: what goes from where to where, under which names, and what rotation keeps. */
export function planText(plan: Plan): string {
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
  return lines.join('\n')
}
