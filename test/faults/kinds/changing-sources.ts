import { setTimeout as sleep } from 'node:timers/promises'
import { itemsOf, type Kind } from '../round.ts'

/** The sources change during the read: the copy must hold one of their states, or the run report it. */
export const changingSources: Kind = {
  name: 'changing-sources',
  weight: 5,
  commands: ['backup-cron', 'backup-verda', 'backup-mello'],
  async inject(round) {
    const { world, random, command } = round
    // Only items of one file: with several, a run may see old and new ones together. Not the credentials'
    // repository, whose earlier states are not recorded.
    const single = ['env', 'tailscale', 'ufw', 'user-outputs'].filter((item) =>
      itemsOf[command]?.includes(item),
    )
    let over = false
    let changes = 0
    const change = async () => {
      await sleep(300 + random.below(300))
      while (!over && changes < 8) {
        world.change(random.pick(single), random)
        world.witness(round.now)
        changes++
        await sleep(40 + random.below(200))
      }
    }
    const changing = change()
    const run = await round.run()
    over = true
    await changing
    world.settle()
    return { runs: [run], what: `${changes} changes`, tooLate: changes === 0 }
  },
}
