import type { Finding } from '../cli/finding.ts'
import type { HostName } from '../inventory.ts'
import { entry, inColumns } from '../text.ts'

/** What doctor checks, in the order it prints. Each group has a file in checks/. */
export const groups = [
  'settings',
  'tools',
  'hosts',
  'mounts',
  'clock',
  'cron',
  'sources',
  'stores',
  'ping',
] as const
export type Group = (typeof groups)[number]

/** A finding with its place in the output. */
export interface Result extends Finding {
  group: Group
  name: string
}

export interface DoctorReport {
  command: 'doctor'
  host: HostName
  startedAt: string
  finishedAt: string
  /** Everything was checked and nothing is wrong, but there may be warnings. */
  ok: boolean
  checks: Result[]
}

export function doctorJson(report: DoctorReport) {
  return { ...report, checks: report.checks.map((check) => ({ ...check, found: check.what })) }
}

/** A printed result: one line, and below it what to do. */
export function resultLines({ group, name, status, what, todo }: Result): string {
  const word = status === 'wrong' ? 'WRONG' : status
  const line = `${word.padEnd(8)} ${group} ${name}: ${entry(what)}`
  return todo === undefined ? line : `${line}\n         -> ${entry(todo)}`
}

/** Merges consecutive results that are not ok for the same reason. */
export async function* merged(
  results: AsyncIterable<Result>,
): AsyncGenerator<{ shown: Result; all: Result[] }> {
  let all: Result[] = []
  for await (const result of results) {
    const [first] = all
    if (first !== undefined && !(result.status !== 'ok' && isAlike(first, result))) {
      yield { shown: together(all), all }
      all = []
    }
    all.push(result)
  }
  if (all.length > 0) yield { shown: together(all), all }
}

function isAlike(a: Result, b: Result): boolean {
  return a.group === b.group && a.status === b.status && a.what === b.what && a.todo === b.todo
}

function together(results: readonly Result[]): Result {
  return { ...(results[0] as Result), name: results.map(({ name }) => name).join(', ') }
}

/** Whether nothing is wrong. What was not checked counts as wrong, because its state is unknown. */
export function isFine(checks: readonly Result[]): boolean {
  return checks.every(({ status, unchecked }) => status !== 'wrong' && !unchecked)
}

/** The last line: what is wrong, by name. */
export function summaryLine({ host, checks }: Pick<DoctorReport, 'host' | 'checks'>): string {
  const wrong = checks.filter(({ status }) => status === 'wrong')
  const fine = checks.filter(({ status }) => status === 'ok').length
  const unchecked = checks.filter((check) => check.unchecked)
  const warnings = checks.length - wrong.length - fine - unchecked.length
  const counts = [
    `${fine} ok`,
    `${warnings} warning${warnings === 1 ? '' : 's'}`,
    ...(unchecked.length > 0 ? [`${unchecked.length} not checked`] : []),
    `${wrong.length} wrong`,
  ].join(', ')
  const named = (results: readonly Result[]) =>
    results.map(({ group, name }) => `${group} ${name}`).join(', ')
  if (wrong.length > 0) return `WRONG doctor on ${host}: ${counts}: ${named(wrong)}`
  if (unchecked.length > 0) return `NOT CHECKED doctor on ${host}: ${counts}: ${named(unchecked)}`
  return `OK doctor on ${host}: ${counts}`
}

export function checkList(
  checks: readonly { group: Group; name: string; what: string }[],
  host: HostName,
  because: string,
): string {
  return [
    `doctor on ${host}, because ${because}, would look at this:`,
    ...inColumns(
      checks.map(({ group, name, what }) => [`${group} ${name}`, what]),
      '  ',
    ),
  ].join('\n')
}
