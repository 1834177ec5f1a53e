import { createHash } from 'node:crypto'

/** Pseudo-random numbers: the same seed gives the same numbers on every machine. */
export interface Random {
  /** From 0 to below 1. */
  next(): number
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number
  chance(probability: number): boolean
  pick<T>(list: readonly T[]): T
  /** At least one, in list order. */
  some<T>(list: readonly T[]): T[]
  /** Content that does not compress. */
  bytes(count: number): Buffer
}

/** The seed may have several parts: every fault has its own stream. */
export function randomOf(...seed: readonly (string | number)[]): Random {
  let state = createHash('sha256').update(JSON.stringify(seed)).digest()
  let used = 0
  const word = () => {
    if (used + 4 > state.length) {
      state = createHash('sha256').update(state).digest()
      used = 0
    }
    used += 4
    return state.readUInt32LE(used - 4)
  }
  const random: Random = {
    next: () => word() / 2 ** 32,
    below: (limit) => Math.floor(random.next() * limit),
    chance: (probability) => random.next() < probability,
    pick: (list) => list[random.below(list.length)] as (typeof list)[number],
    some(list) {
      const chosen = list.filter(() => random.chance(0.5))
      return chosen.length > 0 ? chosen : [random.pick(list)]
    },
    bytes(count) {
      const blocks: Buffer[] = []
      const key = Buffer.alloc(8)
      key.writeUInt32LE(word())
      for (let made = 0; made < count; made += 64) {
        key.writeUInt32LE(made, 4)
        blocks.push(createHash('sha512').update(key).digest())
      }
      return Buffer.concat(blocks).subarray(0, count)
    },
  }
  return random
}
