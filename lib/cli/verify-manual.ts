import type { Flag } from './flags.ts'

export const verifyFlags: readonly Flag[] = [
  {
    name: 'store',
    value: 'NAME',
    help: 'only this store: sfs, mello, r2 or hetzner; several with commas between',
  },
  { name: 'only', value: 'a,b', help: 'only these items or groups' },
  { name: 'bytes', value: 'N', help: 'read at most so much: 20G, 500M, or plain bytes' },
  { name: 'sample', help: 'with --bytes: archives chosen by chance, in the place of the newest first' },
  { name: 'drill', help: 'restore the newest of everything to a scratch folder and compare it' },
  { name: 'adopt', help: 'write records for whole, dated archives that have none; these are read first' },
  { name: 'dry-run', help: 'print what would be read, in order, and read nothing' },
  { name: 'json', help: 'one JSON report on standard output, everything else on standard error' },
  { name: 'quiet', help: 'print only what went wrong' },
  { name: 'help', help: 'this page' },
]
