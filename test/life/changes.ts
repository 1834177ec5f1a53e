import { habits, modelHabit, probabilityIn } from './habits.ts'
import type { Story } from './story.ts'
import { archived } from './world.ts'

const minute = 60_000
const day = 24 * 3_600_000

/** Sets everything up as on the first day. */
export function firstDay({ world, chance }: Story): void {
  for (const { name } of archived) {
    const { bytes, afterDays } = habits[name] as (typeof habits)[string]
    if (afterDays === undefined) world.ledger.change(name, world.now, bytes)
  }
  const dice = chance('models')
  const shares = Array.from({ length: modelHabit.files }, () => 0.3 + dice.next())
  const sum = shares.reduce((total, share) => total + share, 0)
  for (const [index, share] of shares.entries())
    world.models.set(`checkpoints/base-${index + 1}.safetensors`, {
      bytes: (modelHabit.bytes * share) / sum,
      from: world.now,
    })
}

/** What people change in the hour from `start`, by the minute. A machine that is off does not change. */
export function changesOf(story: Story, start: number): { at: number; act: () => void }[] {
  const { world, chance } = story
  const hour = new Date(world.now)
  const dice = chance('changes')
  const changes: { at: number; act: () => void }[] = []
  for (const { name, host } of archived) {
    const {
      rate,
      bytes,
      grows = 0,
      clearedAt = Number.POSITIVE_INFINITY,
      afterDays = 0,
    } = habits[name] as (typeof habits)[string]
    const begins = afterDays > 0 && world.ledger.versions(name) === 0 && world.now >= start + afterDays * day
    if (!dice.happens(probabilityIn(hour, rate)) && !begins) continue
    if (world.now < start + afterDays * day) continue
    changes.push({
      at: world.now + dice.whole(0, 59) * minute,
      act() {
        const on = host === 'verda' ? world.verda.on && !world.verda.restoring : world.mello.on
        if (!on) return
        const before = world.ledger.current(name).bytes || bytes
        const after = before > clearedAt ? before / 6 : before + grows
        world.ledger.change(name, world.now, after)
      },
    })
  }
  if (dice.happens(probabilityIn(hour, { perYear: modelHabit.perYear })))
    changes.push({
      at: world.now + dice.whole(0, 59) * minute,
      act() {
        if (!world.verda.on || world.share !== 'well') return
        const bytes = dice.spread(modelHabit.least, modelHabit.most)
        world.models.set(`loras/style-${world.models.size}.safetensors`, { bytes, from: world.now })
      },
    })
  return changes
}
