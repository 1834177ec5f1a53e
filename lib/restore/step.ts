/**
 * One step of a restore. Run in order; each sees whether it is done, does it, and checks that it holds, so that an interrupted restore is
 * simply run again.
 */
export interface Step {
  name: string
  /** What it does, for the plan; names every service that it stops or starts. */
  title: string
  /** Its items, whose outcomes it sets. */
  items: readonly string[]
  /** What is there already, in words; undefined when there is something to do. Changes nothing. */
  done(): Promise<string | undefined>
  /** Returns what was done, in words; throws when it could not be. */
  do(): Promise<Done>
  /** Throws when what was done does not hold. */
  check?(): Promise<void>
}

export interface Done {
  said: string
  /** Whether anything is other than before. */
  changed: boolean
}

/** A step has no business here, and why. It is no failure. */
export class Skip extends Error {
  override name = 'Skip'
}

/** Going on would do harm: the restore stops here, and a person has to look. */
export class Halt extends Error {
  override name = 'Halt'
}
