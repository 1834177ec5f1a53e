/** The operator's mistake in a flag, name or setting. Shown without a stack. The exit code is 2. */
export class Mistake extends Error {
  /** Whether the command's --help explains what is right. */
  readonly explainedByHelp: boolean = true
}
