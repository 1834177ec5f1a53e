import type { HostName } from '../inventory.ts'
import { mountAt } from '../mount-table.ts'

/** What tells one machine from the other. All of it can be read without touching a share. */
export interface Traces {
  /** This user's crontab. */
  crontab: string
  /** /proc/self/mountinfo. */
  mountinfo: string
  fstab: string
}

/** Which machine this is, and why. Pure. */
export function guessHost(
  { crontab, mountinfo, fstab }: Traces,
  sfsRoot: string,
): { on: HostName; because: string } {
  const runs = (command: string) =>
    crontab.split('\n').some((line) => !line.trimStart().startsWith('#') && line.includes(`${command}.ts`))
  if (runs('backup-cron')) return { on: 'verda', because: 'the crontab runs backup-cron' }
  for (const command of ['backup-verda', 'backup-mello'])
    if (runs(command)) return { on: 'mello', because: `the crontab runs ${command}` }
  if (mountAt(mountinfo, sfsRoot)) return { on: 'verda', because: `a share is mounted at ${sfsRoot}` }
  if (hasFstabEntry(fstab, sfsRoot)) return { on: 'verda', because: `/etc/fstab has an entry for ${sfsRoot}` }
  return {
    on: 'mello',
    because: `no crontab runs backup-cron and nothing is mounted at ${sfsRoot}; if this is Verda, say --on verda`,
  }
}

/** Whether an fstab mounts something at a folder. Pure. */
export function hasFstabEntry(fstab: string, folder: string): boolean {
  return fstab.split('\n').some((line) => {
    const [device = '#', at] = line.trim().split(/\s+/)
    return !device.startsWith('#') && at === folder
  })
}
