import { chanceOf } from './chance.ts'
import type { World } from './world.ts'

const hour = 3_600_000
const day = 24 * hour

/** Something that goes wrong or is done at a moment. Lengths are in hours. */
export type Fault =
  /** A spot instance is lost; later a new one is created and restored. */
  | { kind: 'Verda lost'; hours: number }
  /** Shut down on purpose, overnight or over the weekend. `prepared`: after backups by hand. */
  | { kind: 'Verda shut down'; hours: number; prepared: boolean; sameDisk: boolean }
  | { kind: 'Mello down'; hours: number }
  | { kind: 'R2 away'; hours: number }
  | { kind: 'share'; state: Exclude<World['share'], 'well'>; hours: number }
  | { kind: 'clock'; machine: 'verda' | 'mello'; aheadHours: number; hours: number }
  /** An archive goes bad: other bytes of the same size, fewer bytes, or none. */
  | { kind: 'damage'; store: 'sfs' | 'mello' | 'r2'; how: 'other bytes' | 'cut short' | 'gone' }
  /** The operator checks that a restore would bring back the right content. */
  | { kind: 'restore' }

export type Timed = Fault & { at: number }

/** The faults from `start` to `end`, in order of time. `meanDays`: mean time between two of a kind. */
export function faultsOf(seed: number, start: number, end: number): Timed[] {
  const faults: Timed[] = []
  const each = (name: string, meanDays: number, make: (chance: ReturnType<typeof chanceOf>) => Fault) => {
    const chance = chanceOf(seed, name)
    for (let at = start; ; ) {
      at += Math.ceil(-Math.log(1 - chance.next()) * meanDays * 24 * 60) * 60_000
      if (at >= end) return
      faults.push({ at, ...make(chance) })
    }
  }
  each('Verda lost', 40, (chance) => ({ kind: 'Verda lost', hours: chance.spread(1, 400) }))
  each('Mello down', 45, (chance) => ({ kind: 'Mello down', hours: chance.spread(0.5, 14) }))
  each('R2 away', 60, (chance) => ({ kind: 'R2 away', hours: chance.spread(0.5, 120) }))
  for (const [state, meanDays, most] of [
    ['unmounted', 60, 60],
    ['read-only', 110, 48],
    ['full', 70, 72],
    ['hangs', 130, 24],
  ] as const)
    each(state, meanDays, (chance) => ({ kind: 'share', state, hours: chance.spread(0.5, most) }))
  each('clock of Verda', 350, (chance) => {
    const aheadHours = chance.pick([1, -1]) * chance.spread(1, 1000)
    return { kind: 'clock', machine: 'verda', aheadHours, hours: chance.spread(1, 30) }
  })
  each('clock of Mello', 700, (chance) => {
    const aheadHours = chance.pick([1, -1]) * chance.spread(1, 500)
    return { kind: 'clock', machine: 'mello', aheadHours, hours: chance.spread(1, 30) }
  })
  for (const [store, how, meanDays] of [
    ['sfs', 'other bytes', 80],
    ['sfs', 'cut short', 110],
    ['sfs', 'gone', 160],
    ['mello', 'other bytes', 200],
    ['mello', 'cut short', 350],
    ['r2', 'other bytes', 400],
  ] as const)
    each(`${store} ${how}`, meanDays, () => ({ kind: 'damage', store, how }))
  each('restore', 3.5, () => ({ kind: 'restore' }))
  faults.push(...shutdowns(seed, start, end))
  return faults.sort((a, b) => a.at - b.at)
}

/** Every second weekend and some nights, to save the rent. */
function shutdowns(seed: number, start: number, end: number): Timed[] {
  const chance = chanceOf(seed, 'shutdowns')
  const faults: Timed[] = []
  for (let date = start; date < end; date += day) {
    const weekday = new Date(date).getUTCDay()
    const weekend = weekday === 5
    if (weekday === 0 || weekday === 6 || !chance.happens(weekend ? 0.5 : 0.06)) continue
    faults.push({
      at: date + 18 * hour + chance.whole(0, 180) * 60_000,
      kind: 'Verda shut down',
      hours: (weekend ? 58 : 10) + chance.next() * 5,
      prepared: chance.happens(0.9),
      sameDisk: chance.happens(0.7),
    })
  }
  return faults
}
