import type { Ending, Result } from './round.ts'

const endings: readonly Ending[] = ['completed', 'failed and told', 'killed', 'too late']

/** The results as a Markdown table: a line for each kind and command, and the totals. */
export function tableOf(results: readonly Result[]): string {
  const groups = new Map<string, Result[]>()
  for (const result of results) {
    const name = `${result.kind} | ${result.command}`
    groups.set(name, [...(groups.get(name) ?? []), result])
  }
  const rows = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, of]) => line(name, of))
  return [
    `| fault | command | faults | ${endings.join(' | ')} | violations |`,
    `| --- | --- | --: | ${endings.map(() => '--:').join(' | ')} | --: |`,
    ...rows,
    line('**all** | ', results),
  ].join('\n')
}

function line(name: string, results: readonly Result[]): string {
  const counts = endings.map((ending) => results.filter((result) => result.ending === ending).length)
  const violations = results.filter((result) => result.violations.length > 0).length
  return `| ${name} | ${[results.length, ...counts, violations].join(' | ')} |`
}
