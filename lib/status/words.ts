import { bytesInWords } from '../cli/words.ts'
import { ageInWords } from './age.ts'
import type { Cell } from './cell.ts'
import { hoursInWords } from './expected.ts'

/** What a cell's state is called; what needs a person is in capitals, so that it is seen without colours too. */
export const stateWords: Record<Cell['state'], string> = {
  fresh: 'ok',
  'by hand': 'by hand',
  overdue: 'OVERDUE',
  missing: 'MISSING',
  absent: 'nothing there',
  unknown: 'not seen',
}

/** `ok, 55 min` */
export function cellInWords({ state, freshAt, asOf }: Cell, now: Date): string {
  const age = freshAt && state !== 'missing' ? `, ${ageInWords(freshAt, now)}` : ''
  const then = asOf < now && state !== 'unknown' ? ' (as last seen)' : ''
  return stateWords[state] + age + then
}

/** `every hour`, `at 2, 6, 14, 18 h`, `by hand` */
export function scheduleInWords({ hours }: Cell): string {
  return hours === undefined ? 'by hand' : hoursInWords(hours)
}

/** `12 (3 different), would keep 9` */
export function copiesInWords({ copies, contents, kept, store }: Cell): string {
  const different = contents < copies ? ` (${contents} different)` : ''
  const rule =
    kept === undefined || kept === copies ? '' : `, ${store === 'sfs' ? 'keeps' : 'would keep'} ${kept}`
  return `${copies}${different}${rule}`
}

export function dollars(amount: number): string {
  return `$${amount.toFixed(2)}`
}

export function bytesAMonth(bytes: number): string {
  return `${bytesInWords(Math.round(bytes))} a month`
}
