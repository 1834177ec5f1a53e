import { printableLines } from '../printable.ts'
import type { PlannedItem, RestorePlan } from '../restore/plan.ts'
import type { Step } from '../restore/step.ts'
import type { Offer } from '../restore-order.ts'
import { bytesInWords } from './words.ts'

/** A restore's plan for people: first what they have to know, then a table of what comes from where, then the steps. */
export function restorePlanText(plan: RestorePlan, steps: readonly Step[]): string {
  const { environment, now, at, root, items, notes } = plan
  return printableLines(
    [
      `restore to ${root} (${environment})${at ? `, as it was at ${minute(at)}` : ''}, planned at ${minute(now)}`,
      inShort(items, now),
      ...(notes.length > 0 ? ['', ...notes] : []),
      '',
      ...table([['item', 'source', 'file', 'time', 'age', 'size'], ...items.map((item) => rowOf(item, now))]),
      '',
      'Steps:',
      ...table(steps.map(({ name, title }, index) => [`${index + 1}.`, name, title])),
    ].join('\n'),
  )
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

/** `16 of 19 items come back: 12 from sfs, 4 from r2; 2 are left out; 1 IS MISSING. The oldest copy is of home-dev: 2 d 3 h` */
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
      ? [` The oldest copy is that of ${oldest.item}: ${ageOf(oldest.candidates[0] as Offer, now)}.`]
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
  if (hours === 0) return 'under 1 h'
  return hours < 24 ? `${hours} h` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

function minute(time: Date): string {
  return `${time.toISOString().slice(0, 16)}Z`
}
