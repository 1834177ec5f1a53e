import type { Context } from './context.ts'

/** In the order in which they are printed. */
export const groups = [
  'settings',
  'tools',
  'hosts',
  'mounts',
  'clock',
  'cron',
  'sources',
  'stores',
  'ping',
] as const
export type Group = (typeof groups)[number]

/** One thing that was looked at, and what was seen. */
export interface Finding {
  status: 'ok' | 'warning' | 'wrong'
  found: string
  /** What a person does about it; always there unless the status is `ok`. */
  todo?: string
  /** In the place of the check's own name, where one check looks at several things. */
  name?: string
}

/** A question to the installation. Checks know nothing of each other and may run at the same time. */
export interface Check {
  group: Group
  name: string
  /** What it looks at, for --dry-run. */
  what: string
  /** Settings without which it means nothing: while one of them is wrong, it is not carried out. */
  uses?: readonly string[]
  /** Seconds after which it is given up. */
  limit?: number
  /** What it throws becomes a finding as well. */
  check(context: Context): Promise<Finding[]> | Finding[]
}

/** Thrown by a check that has nothing to look at, because of something that another check reports. */
export class NotChecked extends Error {
  override name = 'NotChecked'
  constructor(
    readonly because: string,
    readonly todo: string,
  ) {
    super(`not checked: ${because}`)
  }
}

export function ok(found: string, name?: string): Finding {
  return { status: 'ok', found, ...(name !== undefined && { name }) }
}

export function warning(found: string, todo: string, name?: string): Finding {
  return { status: 'warning', found, todo, ...(name !== undefined && { name }) }
}

export function wrong(found: string, todo: string, name?: string): Finding {
  return { status: 'wrong', found, todo, ...(name !== undefined && { name }) }
}
