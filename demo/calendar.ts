const firstDay = Date.UTC(2026, 1, 5)

/** A moment of the simulated weeks: four from 5 February to 4 March, so they include a month's end. */
export function moment(day: number, hour: number, minute: number): Date {
  return new Date(firstDay + ((day * 24 + hour) * 60 + minute) * 60_000)
}
