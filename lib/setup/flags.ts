import { flag, planFlags } from '../cli/flags.ts'

export const setupFlags = {
  dryRun: flag('print what it would do, and change nothing'),
  json: planFlags.json,
  quiet: flag('leave out what is there already'),
}

export const setupExits = {
  0: 'everything is in place',
  1: 'something failed or is left to you; it is named',
  2: 'wrong flags; nothing was started',
}
