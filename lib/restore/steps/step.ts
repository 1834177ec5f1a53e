/** A restore step. Safe to repeat: it sees what is done, does the rest, and checks that it holds. */
export interface Step {
  name: string
  /** What it does, for the plan; names every service that it starts or stops. */
  title: string
  /** Its items, whose outcomes it sets. */
  items: readonly string[]
  /** What is already there, in words; undefined when there is something to do. Changes nothing. */
  done(): Promise<string | undefined>
  /** Returns what was done, in words; throws when that failed. */
  do(): Promise<Done>
  /** Throws when the result does not hold. */
  check?(): Promise<void>
}

export interface Done {
  said: string
  /** Whether anything changed. */
  changed: boolean
}

/** The step does not apply here, and why. Not a failure. */
export class Skip extends Error {
  override name = 'Skip'
}

/** Continuing would do harm: the restore stops here, and a person must look. */
export class Halt extends Error {
  override name = 'Halt'
}
