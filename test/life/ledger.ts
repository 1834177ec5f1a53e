import { createHash } from 'node:crypto'

/** The state of an item, from a moment on. */
export interface State {
  /** Milliseconds since 1970, as all times in this simulation. */
  from: number
  /** The same number means the same content. 0: the item does not exist. */
  version: number
  /** At full size. */
  bytes: number
  /** What a survey of it returns. */
  fingerprint: string
}

/** The truth: the state of every item at every moment. */
export interface Ledger {
  current(item: string): State
  at(item: string, time: number): State
  /** New content; zero bytes means it does not exist. */
  change(item: string, time: number, bytes: number): void
  /** The same content, in files with new times. */
  touch(item: string, time: number): void
  /** The content of an earlier version, in files on a new machine. */
  goBack(item: string, time: number, version: number): void
  /** When a version ended; undefined while it is current, 0 if it never existed. */
  endOf(item: string, version: number): number | undefined
  /** Whether the item had that version at any moment from `from` to `to`, both included. */
  was(item: string, version: number, from: number, to: number): boolean
  bytesOf(item: string, version: number): number
  /** When the item first existed; undefined if it never did. */
  firstOf(item: string): number | undefined
  /** The number of versions. */
  versions(item: string): number
}

export function newLedger(items: readonly string[]): Ledger {
  const states = new Map<string, State[]>(items.map((item) => [item, []]))
  const sizes = new Map<string, number[]>(items.map((item) => [item, [0]]))
  /** The index of each version's last state. */
  const last = new Map<string, Map<number, number>>(items.map((item) => [item, new Map()]))
  let fingerprints = 0
  const nothing: State = { from: 0, version: 0, bytes: 0, fingerprint: '' }
  const of = (item: string): State[] => {
    const own = states.get(item)
    if (own === undefined) throw new Error(`${item} is not in the ledger`)
    return own
  }

  const add = (item: string, from: number, version: number) => {
    const bytes = sizes.get(item)?.[version] as number
    const fingerprint = createHash('sha256').update(`${item} ${++fingerprints}`).digest('hex')
    last.get(item)?.set(version, of(item).push({ from, version, bytes, fingerprint }) - 1)
  }

  const ledger: Ledger = {
    current: (item) => of(item).at(-1) ?? nothing,
    at: (item, time) => of(item).findLast(({ from }) => from <= time) ?? nothing,
    change(item, time, bytes) {
      const own = sizes.get(item) as number[]
      add(item, time, bytes === 0 ? 0 : own.push(bytes) - 1)
    },
    touch: (item, time) => add(item, time, ledger.current(item).version),
    goBack: (item, time, version) => add(item, time, version),
    endOf(item, version) {
      const index = last.get(item)?.get(version)
      if (index === undefined) return 0
      return of(item)[index + 1]?.from
    },
    was(item, version, from, to) {
      const own = of(item)
      for (let index = own.length - 1; index >= 0; index--) {
        const state = own[index] as State
        const end = own[index + 1]?.from ?? Number.POSITIVE_INFINITY
        if (end < from) return false
        if (state.version === version && state.from <= to) return true
      }
      return false
    },
    firstOf: (item) => of(item)[0]?.from,
    bytesOf: (item, version) => sizes.get(item)?.[version] ?? 0,
    versions: (item) => (sizes.get(item)?.length ?? 1) - 1,
  }
  return ledger
}
