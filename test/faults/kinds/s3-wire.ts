import type { Kind } from '../round.ts'

/** The network to the object store cuts or resets a connection, flips a bit, or is slow. */
export const s3Wire: Kind = {
  name: 's3-wire',
  weight: 12,
  commands: ['backup-verda', 'backup-verda', 'backup-mello', 'restore', 'verify'],
  async inject(round) {
    const { world, random } = round
    const slow = random.chance(0.2) ? 1 + random.below(15) : 0
    const spoilings = Array.from({ length: slow > 0 ? random.below(2) : 1 + random.below(3) }, () => ({
      direction: random.pick(['up', 'down'] as const),
      after: random.below(random.pick([3000, 30_000, 400_000])),
      how: random.pick(['cut', 'reset', 'flip'] as const),
    }))
    world.proxy.slow(slow)
    for (const spoiling of spoilings) world.proxy.spoil(spoiling)
    const run = await round.run({ env: world.throughProxy() })
    const what = spoilings.map(({ direction, after, how }) => `${how} ${direction} at byte ${after}`)
    if (slow > 0) what.push(`${slow} ms a piece`)
    return {
      runs: [run],
      what: what.join(', '),
      tooLate: slow === 0 && world.proxy.heal() === spoilings.length,
    }
  },
}
