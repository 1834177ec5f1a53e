import type { HostName } from '../inventory.ts'
import { entry } from '../printable.ts'
import type { Check } from './check.ts'
import type { Result } from './run.ts'

/** What --json prints. */
export interface DoctorReport {
  command: 'doctor'
  host: HostName
  startedAt: string
  finishedAt: string
  /** Nothing is wrong; there may be warnings. */
  ok: boolean
  checks: Result[]
}

/** A result as it is printed: one line, and below it what to do. */
export function resultLines({ group, name, status, found, todo }: Result): string {
  const word = status === 'wrong' ? 'WRONG' : status
  const line = `${word.padEnd(8)} ${group} ${name}: ${entry(found)}`
  return todo === undefined ? line : `${line}\n         -> ${entry(todo)}`
}

/** Results in a row that are not ok for one and the same reason are printed as one. */
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

function isUnchecked({ found }: Result): boolean {
  return found.startsWith('not checked: ')
}

function isAlike(a: Result, b: Result): boolean {
  return a.group === b.group && a.status === b.status && a.found === b.found && a.todo === b.todo
}

function together(results: readonly Result[]): Result {
  return { ...(results[0] as Result), name: results.map(({ name }) => name).join(', ') }
}

/** The last line: what is wrong, by name. */
export function summaryLine({ host, checks }: Pick<DoctorReport, 'host' | 'checks'>): string {
  const wrong = checks.filter(({ status }) => status === 'wrong')
  const fine = checks.filter(({ status }) => status === 'ok').length
  const unchecked = checks.filter(isUnchecked).length
  const warnings = checks.length - wrong.length - fine - unchecked
  const counts = [
    `${fine} ok`,
    `${warnings} warning${warnings === 1 ? '' : 's'}`,
    ...(unchecked > 0 ? [`${unchecked} not checked`] : []),
    `${wrong.length} wrong`,
  ].join(', ')
  if (wrong.length === 0) return `OK doctor on ${host}: ${counts}`
  return `WRONG doctor on ${host}: ${counts}: ${wrong.map(({ group, name }) => `${group} ${name}`).join(', ')}`
}

/** What --dry-run prints. */
export function checkList(checks: readonly Check[], host: HostName, because: string): string {
  const width = Math.max(...checks.map(({ group, name }) => group.length + name.length + 1))
  return [
    `doctor on ${host}, because ${because}, would look at this:`,
    ...checks.map(({ group, name, what }) => `  ${`${group} ${name}`.padEnd(width)}  ${what}`),
  ].join('\n')
}
