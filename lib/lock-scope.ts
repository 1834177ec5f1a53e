import type { Settings } from './settings.ts'

/** The scope of takeLocks: runs to the same places must not work on the same item at once; drills in other folders may. */
export function lockScope({ environment, sfs, melloBackups, r2, hetzner }: Settings): string {
  return JSON.stringify([environment, sfs.cache, melloBackups, r2?.endpoint, r2?.buckets, hetzner?.endpoint])
}
