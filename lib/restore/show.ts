import { nameAlone } from '../backup/select.ts'
import { isWrong } from '../cli/finding.ts'
import { Progress } from '../cli/progress.ts'
import { restoringMarker } from '../inventory.ts'
import type { Offer } from '../restore-order.ts'
import { bytesInWords, inColumns, logLine, ownLine, printableLines, secondsInWords } from '../text.ts'
import { below, type RestoreWatcher, type Step } from './context.ts'
import type { PlannedItem, RestorePlan } from './plan/planned.ts'
import type { CheckOutcome, ItemOutcome, PlanNote, RestoreReport, StepOutcome } from './report.ts'

export interface ShowRestoreOptions {
  out: { write(text: string): unknown }
  quiet: boolean
  clock(): Date
}

interface Endings {
  end(report: RestoreReport): void
  broken(steps: readonly Step[] | undefined, traces: Traces): string
}

/** What an interrupted restore may leave: a mounted share, the marker that stops backups. */
type Traces = Record<'sharing' | 'marked', boolean>

/** Prints progress: a dated line per step and, on a terminal, a spinner for the current one. */
export function showRestore({ out, quiet, clock }: ShowRestoreOptions): RestoreWatcher & Endings {
  const progress = quiet ? undefined : Progress.on(process.stderr)
  const over: StepOutcome[] = []
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
    stepDone(outcome) {
      over.push(outcome)
      progress?.stop()
      if (!quiet || outcome.status === 'failed') line(stepLine(outcome))
    },
    checked(outcome) {
      if (!quiet || isWrong(outcome)) line(checkLine(outcome))
    },
    broken: (...begun) => breakText(over, ...begun),
    end(report) {
      if (report.keptAside && !quiet) line(`what was replaced is kept in ${report.keptAside}`)
      if (report.pending.length > 0) line(heldBack(report))
      if (!report.ok) line(`once that is fixed, run again: ${ownLine()}`)
      if (!quiet || !report.ok) line(summary(report))
      if (report.next && !quiet)
        out.write(
          `${report.ok ? 'Start the workshop with' : 'After fixing that, start the workshop with'}: ${report.next}\n`,
        )
    },
  }
}

/** The words after Ctrl-C. `steps`: undefined before the first one. */
function breakText(
  over: readonly StepOutcome[],
  steps: readonly Step[] | undefined,
  { sharing, marked }: Traces,
): string {
  if (steps === undefined)
    return `restore: interrupted; nothing was changed${sharing ? ', but the share may be mounted now' : ''}. To start over: ${ownLine()}`
  const done = over.filter(({ status }) => status !== 'failed').map(({ step }) => step)
  const failed = over.filter(({ status }) => status === 'failed').map(({ step }) => `${step} (failed)`)
  const [under = 'the checklist', ...left] = steps.slice(over.length).map(({ name }) => name)
  return (
    `restore: interrupted. Done: ${done.join(', ') || 'nothing'}. Not done: ${[...failed, `${under} (under way)`, ...left].join(', ')}.\n` +
    `${marked ? 'This machine is not backed up until the restore is finished.\n' : ''}To do the rest (what is done is skipped): ${ownLine()}`
  )
}

function stepLine({ step, status, said }: StepOutcome): string {
  return `${status === 'failed' ? 'FAILED' : status} ${step}: ${said}`
}

function checkLine({ name, status, what, todo }: CheckOutcome): string {
  return status === 'ok' ? `ok ${name}: ${what}` : `WRONG ${name}: ${what}${todo ? ` -> ${todo}` : ''}`
}

/** Why backups of this machine are refused from now on, and how to end that. */
function heldBack({ pending, root }: RestoreReport): string {
  return (
    `this machine is not backed up until ${pending.join(', ')} ${pending.length === 1 ? 'is' : 'are'} back. ` +
    `To do without them, remove ${below(root, restoringMarker)}`
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
  const wrong = checklist.filter(isWrong).map(({ name }) => name)
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

/** A restore's plan as text: what to know first, then a table of items and sources, then the steps. */
export function restorePlanText(plan: RestorePlan, steps: readonly Step[]): string {
  const { environment, now, at, root, items, notes } = plan
  return printableLines(
    [
      `restore to ${root} (${environment})${at ? `, as it was at ${minute(at)}` : ''}, planned at ${minute(now)}`,
      inShort(items, now),
      ...(notes.length > 0 ? ['', ...noteTexts(plan)] : []),
      '',
      ...inColumns(
        [['item', 'source', 'file', 'time', 'age', 'size'], ...items.map((item) => rowOf(item, now))],
        '  ',
      ),
      '',
      'Steps:',
      ...inColumns(
        steps.map(({ name, title }, index) => [`${index + 1}.`, name, title]),
        '  ',
      ),
    ].join('\n'),
  )
}

/** Each note as one line that starts with its topic in capitals. */
export function noteTexts({ notes, root }: Pick<RestorePlan, 'notes' | 'root'>): string[] {
  return notes.map((note) => noteText(note, root))
}

function noteText(note: PlanNote, root: string): string {
  switch (note.kind) {
    case 'share not mounted yet':
      return `${note.root} is not mounted: a run mounts it first, and plans with what is there`
    case 'no share':
      return `NO SHARE: ${note.why}`
    case 'nothing found':
      return (
        'NO BACKUP was found. If there should be one, first fix what is listed below as not looked at. If this is the first deployment: ' +
        'git clone "$PROJECT_REPO" into PROJECT_DIR, write its .env, tailscale up --ssh=false, docker compose up -d; then set up the backups (docs/setup.md, "Verda")'
      )
    case 'missing':
      return `MISSING ${note.items.join(', ')}: ${note.why}`
    case 'not looked at':
      return `NOT LOOKED AT ${note.source}: ${note.why.replace(`${note.source}: `, '')}`
    case 'in the way':
      return `IN THE WAY ${note.items.join(', ')}: another file size is at ${note.files.join(', ')} and is left alone: move it away`
    case 'newer': {
      const { newer, taken } = note
      const one = taken.kind === 'recorded' ? `the one from ${minuteOr(taken)}` : 'one without a record'
      return `NEWER ${note.items.join(', ')}: ${newer.source} has a copy from ${minuteOr(newer)}; ${one} in ${taken.source} is used. To use the newer one: comfyume-backup restore --prefer newest --only ${note.items.map(nameAlone).join(',')}${root === '/' ? '' : ` --root ${root}`}`
    }
    case 'borrowed':
      return `BORROWED ${note.items.join(', ')}: ${note.source} has lost archives that it builds on; they come from another store: ${note.links}`
    case 'skipped copies':
      return `SKIPPED ${note.items.join(', ')}: ${note.why}`
    case 'unverified':
      return `UNVERIFIED ${note.items.join(', ')}: the copy in ${note.source} has no record, so a restore can only check that it is whole`
    case 'not its own':
      return `NOT ITS OWN ${note.items.join(', ')}: the copy of ${note.of} is used, because ${note.environment} has none`
  }
}

export function planJson(plan: RestorePlan, steps: readonly Step[]) {
  return {
    ...plan,
    notes: noteTexts(plan),
    steps: steps.map(({ name, title }) => ({ step: name, title })),
  }
}

export function reportJson(report: RestoreReport) {
  const checklist = report.checklist.map((check) => ({
    ...check,
    check: check.name,
    ok: !isWrong(check),
    found: check.what,
  }))
  return { ...report, notes: noteTexts(report), checklist }
}

function minuteOr({ time }: Pick<Offer, 'time'>): string {
  return time === undefined ? 'an unknown time' : minute(time)
}

function rowOf({ item, candidates: [first], leftOut, missing, models }: PlannedItem, now: Date): string[] {
  if (leftOut !== undefined) return [item, 'left out', leftOut]
  if (missing !== undefined) return [item, 'MISSING', 'see above']
  if (models !== undefined) return [item, sourcesOf(models).join(', '), modelsInWords(models)]
  if (first === undefined) return [item]
  if (first.kind === 'repository') return [item, first.source, 'its newest commit']
  return [
    item,
    first.source,
    first.key,
    timeInWords(first),
    ageOf(first, now),
    first.bytes === undefined ? '' : bytesInWords(first.bytes),
  ]
}

/** `16 of 19 items come back: 12 from sfs, 4 from r2; 2 are left out; 1 IS MISSING. …` */
function inShort(items: readonly PlannedItem[], now: Date): string {
  const comes = items.filter(({ leftOut, missing }) => leftOut === undefined && missing === undefined)
  const bySource = new Map<string, number>()
  for (const { candidates, models = [] } of comes) {
    const source = candidates[0]?.source ?? sourcesOf(models).join(' and ')
    bySource.set(source, (bySource.get(source) ?? 0) + 1)
  }
  const from = [...bySource].map(([source, count]) => `${count} from ${source}`).join(', ')
  const left = items.filter(({ leftOut }) => leftOut !== undefined).length
  const missing = items.filter(({ missing }) => missing !== undefined).length
  const dated = comes.filter(({ candidates: [first] }) => first?.time && first.kind !== 'repository')
  const [oldest] = dated.sort((a, b) => Number(a.candidates[0]?.time) - Number(b.candidates[0]?.time))
  return [
    `${comes.length} of ${items.length} ${items.length === 1 ? 'item' : 'items'} can come back${from ? `: ${from}` : ''}`,
    ...(left > 0 ? [`; ${left} left out`] : []),
    ...(missing > 0 ? [`; ${missing} MISSING`] : []),
    '.',
    ...(oldest
      ? [` The oldest copy is of ${oldest.item}: ${ageOf(oldest.candidates[0] as Offer, now)}.`]
      : []),
  ].join('')
}

type Models = NonNullable<PlannedItem['models']>

function sourcesOf(models: Models): string[] {
  return [...new Set(models.flatMap(({ from }) => from ?? []))]
}

/** `28 files: 20 there already, 8 to download (45 GB)` */
function modelsInWords(models: Models): string {
  const words = {
    there: 'there already',
    link: 'to link to',
    download: 'to download',
    'in the way': 'IN THE WAY',
  }
  const parts = Object.entries(words).flatMap(([how, word]) => {
    const some = models.filter((model) => model.how === how)
    const bytes = some.reduce((sum, model) => sum + model.bytes, 0)
    if (some.length === 0) return []
    return `${some.length} ${word}${how === 'download' ? ` (${bytesInWords(bytes)})` : ''}`
  })
  return `${models.length} ${models.length === 1 ? 'file' : 'files'}: ${parts.join(', ')}`
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
  if (hours === 0) return 'under 1 h'
  return hours < 24 ? `${hours} h` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

function minute(time: Date): string {
  return `${time.toISOString().slice(0, 16)}Z`
}
