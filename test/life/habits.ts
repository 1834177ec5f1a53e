/** How often something changes: at random in working hours, or so many times a year at any hour. */
export type Rate = { perWorkingHour: number } | { perYear: number }

export interface Habit {
  rate: Rate
  /** Full size at the start (facts, "R2 Buckets": configuration and homes 6.5 GB, images 20 GB). */
  bytes: number
  /** Growth with each change. */
  grows?: number
  /** Above this size it is cleared to a sixth: less than half, which a backup refuses to accept. */
  clearedAt?: number
  /** Appears only this many days after the start. */
  afterDays?: number
}

const image = (perYear: number): Habit => ({ bytes: 4e9, rate: { perYear } })

/** The habits of each item in a small workshop: one or two administrators, twenty people in courses. */
export const habits: Record<string, Habit> = {
  tailscale: { bytes: 6e3, rate: { perYear: 3 } },
  'ssh-host-keys': { bytes: 4e3, rate: { perYear: 0.3 } },
  fail2ban: { bytes: 40e3, rate: { perYear: 4 } },
  ufw: { bytes: 20e3, rate: { perYear: 5 } },
  nginx: { bytes: 30e3, rate: { perYear: 8 } },
  ssl: { bytes: 50e3, rate: { perYear: 7 }, afterDays: 60 },
  env: { bytes: 5e3, rate: { perYear: 12 } },
  'home-dev': { bytes: 5e9, grows: 2e5, rate: { perWorkingHour: 0.8 } },
  'root-home': { bytes: 1.2e9, rate: { perYear: 150 } },
  scripts: { bytes: 0.3e9, rate: { perYear: 8 } },
  'comfyume-frontend': image(10),
  'comfyume-worker': image(16),
  'comfyume-queue-manager': image(7),
  'comfyume-nginx': image(3),
  'comfyume-admin': image(6),
  'user-data': { bytes: 2e9, grows: 1e6, rate: { perWorkingHour: 0.7 } },
  'user-outputs': { bytes: 4e9, grows: 60e6, clearedAt: 18e9, rate: { perWorkingHour: 0.6 } },
}

/** Models: 192 GB in 28 files, and this many more a year (facts, "R2 Buckets", 2). */
export const modelHabit = { files: 28, bytes: 192e9, perYear: 15, least: 0.2e9, most: 8e9 }

/** Working hours: 8:00 to 18:00 UTC, Monday to Friday. */
function isWorkingHour(hour: Date): boolean {
  const [day, time] = [hour.getUTCDay(), hour.getUTCHours()]
  return day >= 1 && day <= 5 && time >= 8 && time < 18
}

const workingHoursOfAYear = 52 * 5 * 10

/** The probability of a change in an hour. Yearly rates are people's work too, so in working hours only. */
export function probabilityIn(hour: Date, rate: Rate): number {
  if (!isWorkingHour(hour)) return 0
  return 'perYear' in rate ? rate.perYear / workingHoursOfAYear : rate.perWorkingHour
}
