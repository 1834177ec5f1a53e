import type { Kind } from '../round.ts'

/** The object store is unreachable for the whole run. These runs use up every retry, so they are rare. */
export const s3Away: Kind = {
  name: 's3-away',
  weight: 0.5,
  commands: ['backup-verda', 'backup-mello', 'restore', 'status'],
  async inject(round) {
    const { world } = round
    world.proxy.hangUp(true)
    try {
      const run = await round.run({ env: world.throughProxy(), limit: 400 })
      return { runs: [run], what: 'away for the whole run' }
    } finally {
      world.proxy.hangUp(false)
    }
  },
}
