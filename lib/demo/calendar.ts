const firstDay = Date.UTC(2026, 1, 5)

/** A moment of the simulated weeks. They begin on 5 February and, being four, end on 4 March, so that a month passes. */
export function moment(day: number, hour: number, minute: number): Date {
  return new Date(firstDay + ((day * 24 + hour) * 60 + minute) * 60_000)
}
