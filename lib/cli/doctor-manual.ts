import { groups } from '../doctor/check.ts'
import type { Flag } from './flags.ts'
import type { Manual } from './help.ts'

export const doctorFlags: readonly Flag[] = [
  { name: 'on', value: 'HOST', help: 'verda or mello; else guessed from what is there' },
  { name: 'only', value: 'a,b', help: `these groups of checks: ${groups.join(', ')}` },
  { name: 'dry-run', help: 'list the checks and carry none out' },
  { name: 'json', help: 'one JSON report on standard output' },
  { name: 'quiet', help: 'print only what is not ok' },
  { name: 'help', help: 'this page' },
]

export const doctorExits: Manual['exits'] = [
  { code: 0, what: 'nothing is wrong; there may be warnings' },
  { code: 1, what: 'something is wrong' },
  { code: 2, what: 'wrong flags, or wrong settings; what does not depend on those was checked all the same' },
]
