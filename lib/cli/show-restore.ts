import type { RestorePlan } from '../restore/plan.ts'
import type { CheckOutcome, ItemOutcome, RestoreReport, StepOutcome } from '../restore/report.ts'
import type { RestoreWatcher } from '../restore/site.ts'
import type { Step } from '../restore/step.ts'
import type { Offer } from '../restore-order.ts'
import { Progress } from './progress.ts'
import { bytesInWords, secondsInWords } from './words.ts'

/** A restore's plan for people: first what they have to know, then a table of what comes from where, then the steps. */
export function restorePlanText(plan: RestorePlan, steps: readonly Step[]): string {
  const { environment, now, at, root, items, notes } = plan
  const rows = items.map(({ item, candidates: [first], leftOut, missing, kind }) => {
    if (leftOut !== undefined) return [item, 'left out', leftOut]
    if (missing !== undefined) return [item, 'MISSING', 'see above']
    if (first === undefined) return [item, kind === 'models' ? 'file by file' : '', '']
    return [
      item,
      first.source,
      first.key,
      timeInWords(first),
      ageOf(first, now),
      first.bytes === undefined ? '' : bytesInWords(first.bytes),
    ]
  })
  return [
    `restore to ${root} (${environment})${at ? `, as it was at ${minute(at)}` : ''}, planned at ${minute(now)}`,
    ...(notes.length > 0 ? ['', ...notes] : []),
    '',
    ...table([['item', 'source', 'file', 'time', 'age', 'size'], ...rows]),
    '',
    'Steps:',
    ...table(steps.map(({ name, title }, index) => [`${index + 1}.`, name, title])),
  ].join('\n')
}

export interface ShowRestoreOptions {
  out: { write(text: string): unknown }
  quiet: boolean
  clock(): Date
}

/** Tells a restore as it goes: a dated line a step, and on a terminal a spinner for what is under way. */
export function showRestore({
  out,
  quiet,
  clock,
}: ShowRestoreOptions): RestoreWatcher & { end(report: RestoreReport): void } {
  const progress = quiet ? undefined : Progress.on(process.stderr)
  const line = (text: string) => {
    progress?.stop()
    out.write(`${clock().toISOString().slice(0, 19)}Z ${text}\n`)
  }
  return {
    started: (title) => progress?.start(title),
    total: (bytes) => progress?.expect(bytes),
    bytes: (bytes) => progress?.add(bytes),
    note: (text) => {
      line(`note ${text}`)
      progress?.resume()
    },
    itemDone: () => {},
    stepDone(outcome) {
      progress?.stop()
      if (!quiet || outcome.status === 'failed') line(stepLine(outcome))
    },
    checked(outcome) {
      if (!quiet || !outcome.ok) line(checkLine(outcome))
    },
    end(report) {
      if (report.keptAside && !quiet)
        line(`what was there before and is different now lies in ${report.keptAside}`)
      if (!quiet || !report.ok) line(summary(report))
      if (report.next && !quiet)
        out.write(
          `${report.ok ? 'The workshop starts with' : 'When that is mended, the workshop starts with'}: ${report.next}\n`,
        )
    },
  }
}

function stepLine({ step, status, said }: StepOutcome): string {
  return `${status === 'failed' ? 'FAILED' : status} ${step}: ${said}`
}

function checkLine({ check, ok, found, todo }: CheckOutcome): string {
  return `${ok ? 'ok' : 'WRONG'} ${check}: ${found}${ok || !todo ? '' : ` -> ${todo}`}`
}

/** The last line: what came back and, by name, what did not. */
function summary({ ok, items, steps, checklist, startedAt, finishedAt }: RestoreReport): string {
  const count = (status: ItemOutcome['status']) => items.filter((item) => item.status === status).length
  const failed = [
    ...new Set([
      ...items.filter(({ status }) => status === 'failed').map(({ item }) => item),
      ...steps.filter(({ status }) => status === 'failed').map(({ step }) => step),
    ]),
  ]
  const wrong = checklist.filter((check) => !check.ok).map(({ check }) => check)
  const seconds = (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000
  const parts = [
    `${count('restored')} restored`,
    `${count('unchanged')} unchanged`,
    `${count('skipped')} skipped`,
    `${failed.length} failed${failed.length > 0 ? ` (${failed.join(', ')})` : ''}`,
    ...(wrong.length > 0 ? [`wrong: ${wrong.join(', ')}`] : []),
  ]
  return `${ok ? 'OK' : 'FAILED'} restore: ${parts.join(', ')}${seconds > 0 ? `, in ${secondsInWords(seconds)}` : ''}`
}

/** Columns as wide as their widest cell; the last one of a row is not padded. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows)
    for (const [column, cell] of row.slice(0, -1).entries())
      widths[column] = Math.max(widths[column] ?? 0, cell.length)
  return rows.map(
    (row) =>
      `  ${row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
        .join('  ')
        .trimEnd()}`,
  )
}

function timeInWords({ time, kind }: Offer): string {
  if (time === undefined) return ''
  return kind === 'recorded' ? minute(time) : `about ${minute(time)}`
}

/** 26 h -> `1 d 2 h`. */
function ageOf({ time }: Offer, now: Date): string {
  if (time === undefined) return ''
  const hours = Math.floor((now.getTime() - time.getTime()) / 3_600_000)
  if (hours < 0) return ''
  return hours < 24 ? `${hours} h` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

function minute(time: Date): string {
  return `${time.toISOString().slice(0, 16)}Z`
}
