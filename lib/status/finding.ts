import type { StoreName } from '../inventory.ts'

/** Each kind of trouble, with the question of the checklist that it answers with no. */
export const checks = {
  unreachable: 'Every store could be looked at',
  missing: 'Everything has a good backup wherever it belongs',
  broken: 'Every archive is as large as its record says',
  'no archive': 'No record is without its archive',
  'no record': 'No archive is without its record',
  overdue: 'Nothing is overdue',
  'failed run': 'The last run of everything succeeded',
  future: 'Nothing is dated in the future',
  clock: 'The clocks are right',
  room: 'There is room for at least two weeks',
  unexpected: 'Nothing lies there that no backup makes',
} as const

export type Trouble = keyof typeof checks

/** Something that a person should know. */
export interface Finding {
  trouble: Trouble
  /** Whether somebody has to do something; else it is only to be known. */
  alarm: boolean
  store?: StoreName | 'git'
  /** Those that it is about, where it is about some. */
  items: string[]
  /** What is wrong. */
  what: string
  /** What to do. */
  todo: string
}

/** `tailscale, ufw and 3 more` */
export function someOf(names: readonly string[], most = 5): string {
  if (names.length <= most) return names.join(', ')
  return `${names.slice(0, most - 1).join(', ')} and ${names.length - most + 1} more`
}
