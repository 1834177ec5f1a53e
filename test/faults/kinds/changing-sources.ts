import { setTimeout as sleep } from 'node:timers/promises'
import { itemsOf, type Kind } from '../round.ts'

/** The sources change while they are read: what is stored is one of the states that they had, or is told to have changed. */
export const changingSources: Kind = {
  name: 'changing-sources',
  weight: 5,
  commands: ['backup-cron', 'backup-verda', 'backup-mello'],
  async inject(round) {
    const { world, random, command } = round
    // An item of one file: of several, some old and some new is what a run may see. And one whose states of a moment ago are remembered, which
    // those of the repository are not.
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
