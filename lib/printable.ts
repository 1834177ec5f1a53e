/** Text from a store, such as a file's name, made safe for a terminal and a log: what could steer either is shown as its code. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** The same for text of several lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** A message as one entry of a log: its further lines are indented, so that nothing in it passes for an entry of its own. */
export function entry(text: string): string {
  return text.split('\n').map(printable).join('\n    ')
}

/** An entry of a log: when it was written, UTC, and what it says, whoever gave the names in it. */
export function logLine(time: Date, text: string): string {
  return `${time.toISOString().slice(0, 19)}Z ${entry(text)}\n`
}

/** Rows of text as columns, two spaces between them. */
export function inColumns(rows: readonly (readonly string[])[], indent = ''): string[] {
  const safe = rows.map((row) => row.map(printable))
  const count = Math.max(0, ...safe.map(({ length }) => length))
  const widths = Array.from({ length: count }, (_, column) =>
    Math.max(...safe.map((row) => row[column]?.length ?? 0)),
  )
  return safe.map((row) =>
    `${indent}${row.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd(),
  )
}
