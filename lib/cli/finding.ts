/** One thing that was looked at, and what it means. */
export interface Finding {
  /** `wrong` needs action; `warning` is only worth knowing. */
  status: 'ok' | 'warning' | 'wrong'
  what: string
  /** What to do about it. Always present unless the status is `ok`. */
  todo?: string
  /** Replaces the name of its check when one check covers several things. */
  name?: string
  /** The check could not look. */
  unchecked?: true
}

export function ok(what: string, name?: string): Finding {
  return { status: 'ok', what, name }
}

export function warning(what: string, todo: string, name?: string): Finding {
  return { status: 'warning', what, todo, name }
}

export function wrong(what: string, todo: string, name?: string): Finding {
  return { status: 'wrong', what, todo, name }
}

export function isWrong({ status }: Finding): boolean {
  return status === 'wrong'
}

/** Thrown by a check that cannot look because of a problem that another check reports. */
export class NotChecked extends Error {
  override name = 'NotChecked'
  constructor(
    readonly because: string,
    readonly todo: string,
  ) {
    super(`not checked: ${because}`)
  }
}
