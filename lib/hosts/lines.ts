/** Bytes kept of a line. */
const LONGEST_LINE = 16 * 1024
/** Characters kept of standard error. */
const KEPT = 64 * 1024

/** Splits standard error into lines in bounded memory. Keeps the last 64 KiB that `onLine` did not take. */
export function errorLines(onLine: (line: string) => boolean = () => false) {
  let line: Buffer[] = []
  let bytes = 0
  let kept = ''

  const add = (part: Buffer) => {
    const fits = part.subarray(0, LONGEST_LINE - bytes)
    if (fits.length > 0) line.push(fits)
    bytes += fits.length
  }
  const endLine = () => {
    const text = Buffer.concat(line).toString()
    line = []
    bytes = 0
    if (onLine(text)) return
    kept += `${text}\n`
    if (kept.length > 2 * KEPT) kept = kept.slice(-KEPT)
  }

  return {
    push(chunk: Buffer) {
      let from = 0
      for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
        add(chunk.subarray(from, at))
        endLine()
        from = at + 1
      }
      add(chunk.subarray(from))
    },
    finish(): string {
      if (bytes > 0) endLine()
      return kept.slice(-KEPT)
    },
  }
}
