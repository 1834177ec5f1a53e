/** The operator's own: flags, names or settings that cannot be meant. Told in words without a stack; the command ends with 2. */
export class Mistake extends Error {
  /** Whether the command's --help says what would be right. */
  readonly explainedByHelp: boolean = true
}
