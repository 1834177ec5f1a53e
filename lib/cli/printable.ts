/** Text from a store, such as a file's name, made safe for a terminal and a log: what could steer either is shown as its code. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** The same of a text of several lines, which stay lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** A line of a log: when it was written, UTC, and what it says, whoever gave the names in it. */
export function logLine(time: Date, text: string): string {
  return `${time.toISOString().slice(0, 19)}Z ${printableLines(text)}\n`
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
