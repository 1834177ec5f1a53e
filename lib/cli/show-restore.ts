import { restoringMarker } from '../inventory.ts'
import { logLine } from '../printable.ts'
import type { CheckOutcome, ItemOutcome, RestoreReport, StepOutcome } from '../restore/report.ts'
import { below, type RestoreWatcher } from '../restore/site.ts'
import { Progress } from './progress.ts'
import { secondsInWords } from './words.ts'

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
    out.write(logLine(clock(), text))
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
      if (report.pending.length > 0) line(heldBack(report))
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

/** Why backups of this machine are refused from now on, and how that ends. */
function heldBack({ pending, root }: RestoreReport): string {
  return (
    `no backup is made of this machine until ${pending.join(', ')} ${pending.length === 1 ? 'is' : 'are'} back: mend what failed and run this again. ` +
    `To do without, remove ${below(root, restoringMarker)}`
  )
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
  const nothing = ok && count('restored') === 0 && steps.every(({ status }) => status !== 'done')
  const parts = [
    ...(nothing ? ['nothing had to be changed'] : []),
    `${count('restored')} restored`,
    `${count('unchanged')} unchanged`,
    `${count('skipped')} skipped`,
    `${failed.length} failed${failed.length > 0 ? ` (${failed.join(', ')})` : ''}`,
    ...(wrong.length > 0 ? [`wrong: ${wrong.join(', ')}`] : []),
  ]
  return `${ok ? 'OK' : 'FAILED'} restore: ${parts.join(', ')}${seconds > 0 ? `, in ${secondsInWords(seconds)}` : ''}`
}
