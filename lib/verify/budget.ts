/**
 * How many bytes a budget such as `20G`, `500M`, `1.5 TB` or `1048576` is, in units of 1024. Undefined for any other text, and
 * for a budget of nothing.
 */
export function readBudget(text: string): number | undefined {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?) ?(|[kmgt])(?:(?<=[kmgt])i?b)?$/i.exec(text) ?? []
  const bytes = Math.floor(Number(number) * 1024 ** ['', 'k', 'm', 'g', 't'].indexOf(unit.toLowerCase()))
  return bytes >= 1 && Number.isSafeInteger(bytes) ? bytes : undefined
}

/** What is left of a budget while several stores are read at once. */
export interface Budget {
  /** Whether so many bytes may be read; if so, they are spent. */
  take(bytes: number): boolean
}

/** Undefined: without bound. */
export function makeBudget(bytes: number | undefined): Budget {
  let left = bytes ?? Number.POSITIVE_INFINITY
  return {
    take(wanted) {
      if (wanted > left) return false
      left -= wanted
      return true
    },
  }
}
