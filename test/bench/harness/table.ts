import type { Table } from './comparison.ts'
import { type Figures, median } from './figures.ts'
import type { Row } from './race.ts'

/** A comparison as a Markdown table; seconds and CPU are medians, followed by minimum and maximum. */
export function markdown({ title, base, rows }: Table): string {
  const secondsBy = (name: string) => secondsOf(rows.find((row) => row.name === name))
  const heads = [title, 's', `× \`${base}\``, 'CPU s', 'peak MB', 'stored MB', 'sent MB', 'what it checks']
  const all = rows.map((row) => cells(row, secondsBy(row.against ?? base)))
  // Leaves out columns that are empty in every row.
  const kept = heads.map((_, index) => index === 0 || all.some((row) => (row[index] ?? '') !== ''))
  const line = (row: readonly string[]) => `| ${row.filter((_, index) => kept[index]).join(' | ')} |`
  return [
    line(heads),
    line(heads.map((_, index) => (index === 0 || index === 7 ? '---' : '--:'))),
    ...all.map(line),
  ].join('\n')
}

function cells(row: Row, base: number | undefined): string[] {
  const name = row.ours ? `**${row.name}**` : row.name
  if (row.runs.length === 0) {
    const why = row.missing === undefined ? 'failed' : `not here: ${row.missing}`
    return [name, why, '', '', '', '', '', '']
  }
  const seconds = secondsOf(row) as number
  return [
    name,
    spread(row.runs, ({ seconds }) => seconds, seconds < 2 ? 2 : 1),
    base === undefined ? '' : (seconds / base).toFixed(2),
    median(row.runs.map(({ cpuSeconds }) => cpuSeconds)).toFixed(seconds < 2 ? 2 : 1),
    megabytes(median(row.runs.map(({ peakBytes }) => peakBytes))),
    megabytes(row.storedBytes),
    megabytes(row.sentBytes),
    row.checks,
  ]
}

export function secondsOf(row: Row | undefined): number | undefined {
  return row === undefined || row.runs.length === 0
    ? undefined
    : median(row.runs.map(({ seconds }) => seconds))
}

function spread(runs: readonly Figures[], of: (figures: Figures) => number, digits: number): string {
  const values = runs.map(of)
  const middle = median(values).toFixed(digits)
  const [least, most] = [Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits))
  return least === most ? middle : `${middle} (${least} to ${most})`
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? '' : String(Math.round(bytes / 1e6))
}
