/** What a caught error says, for an outcome or a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
