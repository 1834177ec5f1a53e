/** Random numbers from a seed. */
export interface Chance {
  /** From 0 to below 1. */
  next(): number
  /** True with this probability. */
  happens(probability: number): boolean
  /** A whole number from `least` to `most`. */
  whole(least: number, most: number): number
  /** Between two numbers, on a logarithmic scale: 1 to 10 is as likely as 10 to 100. */
  spread(least: number, most: number): number
  pick<T>(all: readonly T[]): T
}

/** Each name has its own stream, so one more draw for one thing changes nothing else. */
export function chanceOf(seed: number, name: string): Chance {
  let state = seed | 0
  for (const character of name) state = Math.imul(state ^ character.charCodeAt(0), 0x01000193)
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    happens: (probability) => next() < probability,
    whole: (least, most) => least + Math.floor(next() * (most - least + 1)),
    spread: (least, most) => least * (most / least) ** next(),
    pick: (all) => all[Math.floor(next() * all.length)] as (typeof all)[number],
  }
}
