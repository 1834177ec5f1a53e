import { type Asked, flag, list, planFlags, size } from '../cli/flags.ts'

export const verifyFlags = {
  store: list('NAME', 'only these stores, separated by commas: sfs, mello, r2, hetzner'),
  only: list('a,b', 'only these items or groups; item:user-data is without outputs'),
  bytes: size('N', 'read at most this much: 20G, 500M, or plain bytes'),
  sample: flag('with --bytes: read archives at random instead of the newest first'),
  drill: flag('restore the newest of everything to a scratch folder and compare it'),
  adopt: flag('read whole, dated archives that have no record, and write their records'),
  ...planFlags,
  dryRun: flag('print what it would read, in order'),
}

/** The name of a run's monitoring check, like backupCheck for backups. */
export function verifyCheck({
  store = [],
  only = [],
  drill,
  adopt,
  sample,
}: Asked<typeof verifyFlags>): string {
  const modes = Object.entries({ drill, adopt, sample }).flatMap(([mode, is]) => (is ? mode : []))
  const words = [...store, ...only, ...modes]
  return ['verify', ...(words.length > 0 ? words : ['default'])].join('-')
}
