const hour = 3_600_000

/** How long ago something was: `35 min`, `30 h`, `12 days`. */
export function ageInWords(time: Date, now: Date): string {
  const age = now.getTime() - time.getTime()
  if (age < -60_000) return `${spanInWords(-age)} ahead`
  return spanInWords(Math.max(0, age))
}

export function spanInWords(milliseconds: number): string {
  if (milliseconds < 2 * hour) return `${Math.round(milliseconds / 60_000)} min`
  if (milliseconds < 48 * hour) return `${Math.floor(milliseconds / hour)} h`
  return `${Math.floor(milliseconds / (24 * hour))} days`
}

/** `2026-11-24 10:05` */
export function minuteOf(time: Date): string {
  return time.toISOString().slice(0, 16).replace('T', ' ')
}
