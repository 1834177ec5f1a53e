import { nameAlone } from '../../backup/select.ts'
import type { Finding } from '../../cli/finding.ts'
import { type CommandName, items, type StoreName } from '../../inventory.ts'

/** Each kind of trouble, with the checklist question that it answers with no. */
export const checks = {
  unreachable: 'Every store could be reached',
  missing: 'Everything has a good backup wherever it belongs',
  broken: 'Every archive that was read is good',
  'no archive': 'Every record has its archive',
  'no record': 'Every archive has its record',
  overdue: 'Everything is on time',
  'failed run': 'The last run of everything succeeded',
  future: 'Every date is in the past',
  clock: 'The clocks are right',
  room: 'There is space for at least two weeks',
  gone: 'Everything that was backed up is still on its host',
  warning: 'Every backup is free of warnings',
  unfinished: 'Every upload is finished',
  unexpected: 'Every file there was made by a backup',
} as const

export type Trouble = keyof typeof checks

/** Something that operators should know. */
export interface StatusFinding extends Finding {
  trouble: Trouble
  store?: StoreName | 'git'
  /** The items that it is about, if any. */
  items: string[]
  todo: string
}

type About = Pick<StatusFinding, 'store' | 'items'>

/** A row of a table of troubles: its cases, and their texts. An alarm unless it says otherwise. */
interface Row<On extends About, Case> {
  trouble: Trouble
  when: (on: On) => readonly Case[]
  alarm?: boolean | ((one: Case, on: On) => boolean)
  what: (one: Case, on: On) => string
  todo: string | ((one: Case, on: On) => string)
}

/** Turns a row into a function that returns its findings. */
export function row<On extends About, Case>({ trouble, when, alarm = true, what, todo }: Row<On, Case>) {
  return (on: On): StatusFinding[] =>
    when(on).map((one) => ({
      status: (typeof alarm === 'boolean' ? alarm : alarm(one, on)) ? 'wrong' : 'warning',
      trouble,
      store: on.store,
      items: on.items,
      what: what(one, on),
      todo: typeof todo === 'string' ? todo : todo(one, on),
    }))
}

/** Applies a table of troubles, row by row. */
export function read<On>(table: readonly ((on: On) => StatusFinding[])[], on: On): StatusFinding[] {
  return table.flatMap((reader) => reader(on))
}

/** All of them as one case, if there are any. */
export function any<T>(all: readonly T[]): (readonly T[])[] {
  return all.length > 0 ? [all] : []
}

export function counted({ length }: readonly unknown[], what: string): string {
  return `${length} ${what}${length === 1 ? '' : 's'}`
}

/** The command line that backs up these items to a store now. */
export function runAgain(command: CommandName, names: readonly string[], store?: StoreName): string {
  const where = command === 'backup-cron' ? 'Verda' : 'Mello'
  const to = store === undefined || command === 'backup-cron' ? '' : ` --to ${store}`
  const only = names.length > 0 ? ` --only ${inGroups(command, names).join(',')}` : ''
  return `On ${where} run: comfyume-backup ${command}${only}${to}`
}

/** Names a group instead of its items if all of them are wanted. */
function inGroups(command: CommandName, names: readonly string[]): string[] {
  const own = items.filter(({ commands }) => commands[command])
  const short = names.map((name) => {
    const group = own.find((item) => item.name === name)?.group
    const members = own.filter((item) => item.group === group)
    return group !== undefined && members.every((item) => names.includes(item.name)) ? group : nameAlone(name)
  })
  return [...new Set(short)]
}
