/** Makes text from a store safe for a terminal and a log: control and invisible characters become codes. */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (one) => {
    const code = one.codePointAt(0)?.toString(16) ?? ''
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, '0')}`
  })
}

/** The same for text of several lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** A message as one log entry: its other lines are indented, so none can pass for another entry. */
export function entry(text: string): string {
  return printableLines(text).replaceAll('\n', '\n    ')
}

/** A log entry: its time in UTC and its text, made safe to print. */
export function logLine(time: Date, text: string): string {
  return `${time.toISOString().slice(0, 19)}Z ${entry(text)}\n`
}

/** Rows of text as columns with two spaces between. A row's last cell does not affect column widths. */
export function inColumns(rows: readonly (readonly string[])[], indent = ''): string[] {
  const safe = rows.map((row) => row.map(printable))
  const widths: number[] = []
  for (const row of safe)
    for (const [column, cell] of row.slice(0, -1).entries())
      widths[column] = Math.max(widths[column] ?? 0, cell.length)
  return safe.map((row) =>
    [indent, ...row.map((cell, column) => cell.padEnd((widths[column] ?? -2) + 2))].join('').trimEnd(),
  )
}

/** 1536 -> `1.5 KB`: bytes in powers of 1024. */
export function bytesInWords(bytes: number): string {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return unit === 0 ? `${bytes} bytes` : `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}

/** Two different sizes: in bytes if words would be equal. */
export function unequalSizes(a: number, b: number): [string, string] {
  const [first, second] = [bytesInWords(a), bytesInWords(b)]
  return first === second ? [`${a} bytes`, `${b} bytes`] : [first, second]
}

/** 95 -> `1 min 35 s`. */
export function secondsInWords(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

/** `a, b, c and 4 more`; with `; ` as separator `a; b; c; and 4 more`. */
export function firstOf(texts: readonly string[], count = 3, between: ', ' | '; ' = ', '): string {
  const shown = texts.slice(0, count).join(between)
  const and = between === ', ' ? ' and' : '; and'
  return texts.length > count ? `${shown}${and} ${texts.length - count} more` : shown
}

/** Groups in the order of their first members. */
export function groupBy<T, K>(all: Iterable<T>, keyOf: (one: T) => K): Map<K, [T, ...T[]]> {
  const groups = new Map<K, [T, ...T[]]>()
  for (const one of all) {
    const group = groups.get(keyOf(one))
    if (group) group.push(one)
    else groups.set(keyOf(one), [one])
  }
  return groups
}

/** Asks once for each key, and remembers the answer. */
export function remembered<K, T>(ask: (of: K) => T): (of: K) => T {
  const answers = new Map<K, T>()
  return (of) => {
    if (!answers.has(of)) answers.set(of, ask(of))
    return answers.get(of) as T
  }
}

/** The message of a caught error, for an outcome or a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

const hour = 3_600_000

/** How long ago something was: `35 min`, `30 h`, `12 days`. */
export function ageInWords(time: Date, now: Date): string {
  const age = now.getTime() - time.getTime()
  if (age < -60_000) return `${spanInWords(-age)} ahead`
  return spanInWords(Math.max(0, age))
}

export function spanInWords(milliseconds: number): string {
  if (milliseconds < 2 * hour) return `${Math.round(milliseconds / 60_000)} min`
  if (milliseconds < 48 * hour) return `${Math.floor(milliseconds / hour)} h`
  return `${Math.floor(milliseconds / (24 * hour))} days`
}

/** `2026-11-24 10:05` */
export function minuteOf(time: Date): string {
  return time.toISOString().slice(0, 16).replace('T', ' ')
}

/** The known name that a mistyped one most likely means; undefined if none is near. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const [best] = known.map((one) => ({ one, far: distance(name, one) })).sort((a, b) => a.far - b.far)
  const letters = name.replace(/^-+/, '').length
  const begun = known.filter((one) => letters > 1 && one.startsWith(name))
  if (begun.length === 1) return begun[0]
  return best && best.far <= Math.min(4, Math.floor(letters / 2)) ? best.one : undefined
}

/** The number of characters to change, add or remove. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}

/** `tailscale, ufw and 3 more` */
export function someOf(names: readonly string[], most = 5): string {
  return firstOf(names, names.length > most ? most - 1 : most)
}

/** A size as people write it, in bytes: `20G`, `1.5T` or `1048576`, units of 1024. Undefined otherwise. */
export function readSize(text: string): number | undefined {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?) ?(|[kmgt])(?:(?<=[kmgt])i?b)?$/i.exec(text) ?? []
  const bytes = Math.floor(Number(number) * 1024 ** ['', 'k', 'm', 'g', 't'].indexOf(unit.toLowerCase()))
  return bytes >= 1 && Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Three parts of 16 MiB are sent at once, and each must finish within 15 minutes. */
const slowestUpload = 256 * 1024

/** What `readRate` accepts. */
export const rates = 'a size a second such as 20M, and at least 256K: a slower upload counts as hanging'

/** Bytes a second for uploads. Undefined for what is no size, or too slow. */
export function readRate(text: string): number | undefined {
  const bytes = readSize(text) ?? 0
  return bytes >= slowestUpload ? bytes : undefined
}

/** A word as a shell takes it literally. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/** The same, without quotes where a shell needs none: for lines that a person pastes. */
export function quoteIfNeeded(word: string): string {
  return /^[\w.,:/=@-]+$/.test(word) ? word : quote(word)
}

/** The line that runs this command again. A function that is used without a command has none. */
let own = 'the same command'

export const ownLine = () => own

/** `run again: comfyume-backup restore --full`, with the flags of this run. Belongs at the end of a message. */
export const runAgain = () => `run again: ${own}`

/** Sets the line that messages say to run again. */
export function setOwnLine(words: readonly string[]): void {
  own = ['comfyume-backup', ...words].map(quoteIfNeeded).join(' ')
}
