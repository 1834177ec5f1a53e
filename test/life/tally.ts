/** The counts and measurements of a simulated life. */
export interface Tally {
  count(what: string, kind: string, times?: number): void
  counts: Map<string, Map<string, number>>
  /** Adds a number to a series. */
  measure(series: string, value: number): void
  series: Map<string, number[]>
  /** Keeps the largest value so far. */
  most(what: string, value: number): void
  maxima: Map<string, number>
}

export function newTally(): Tally {
  const counts: Tally['counts'] = new Map()
  const series: Tally['series'] = new Map()
  const maxima: Tally['maxima'] = new Map()
  return {
    counts,
    count(what, kind, times = 1) {
      const kinds = counts.get(what) ?? new Map<string, number>()
      counts.set(what, kinds.set(kind, (kinds.get(kind) ?? 0) + times))
    },
    series,
    measure(name, value) {
      const values = series.get(name)
      if (values === undefined) series.set(name, [value])
      else values.push(value)
    },
    maxima,
    most: (what, value) => maxima.set(what, Math.max(maxima.get(what) ?? 0, value)),
  }
}
