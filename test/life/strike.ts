import { backUpByHand } from './backups.ts'
import { spoil } from './damage.ts'
import type { Timed } from './faults.ts'
import { lookAround } from './look.ts'
import { loss } from './measure.ts'
import { makeRoomOnMello } from './people.ts'
import { type Restored, restoreAll } from './restores.ts'
import type { Story } from './story.ts'
import { archived } from './world.ts'

const hour = 3_600_000
const minute = 60_000

/** Makes a fault happen and schedules its end. */
export async function strike(story: Story, fault: Timed): Promise<void> {
  const { world, tally } = story
  const until = 'hours' in fault ? world.now + Math.ceil((fault.hours * hour) / minute) * minute : world.now
  const end = (act: () => void | Promise<void>, at = until) =>
    story.later.push({
      at,
      act: async () => {
        await act()
        trouble(story, world.now)
      },
    })
  switch (fault.kind) {
    case 'Verda lost':
      if (!world.verda.on || world.verda.restoring) return
      loseVerda(story, until)
      break
    case 'Verda shut down':
      if (!world.verda.on || world.verda.restoring) return
      if (fault.prepared && world.mello.on) await prepared(story)
      world.verda.on = false
      if (fault.prepared) world.verda.markedOff = world.now
      end(() => (fault.sameDisk ? powerOn(story) : newInstance(story)))
      break
    case 'Mello down':
      if (!world.mello.on) return
      world.mello.on = false
      end(() => {
        world.mello.on = true
      })
      break
    case 'R2 away':
      if (world.r2 === 'away') return
      world.r2 = 'away'
      end(() => {
        world.r2 = 'well'
      })
      break
    case 'share': {
      if (world.share !== 'well') return
      world.share = fault.state
      end(() => {
        world.share = 'well'
      })
      break
    }
    case 'clock': {
      const machine = world[fault.machine]
      if (machine.ahead !== 0) return
      machine.ahead = Math.round(fault.aheadHours * 60) * minute
      // Status reports anything dated ahead until that time has come.
      trouble(story, until + Math.abs(machine.ahead))
      story.clockTroubleUntil = Math.max(
        story.clockTroubleUntil,
        until + Math.abs(machine.ahead) + 2 * 24 * hour,
      )
      end(() => {
        machine.ahead = 0
      })
      break
    }
    case 'damage':
      if (fault.store === 'mello' && !world.mello.on) return
      spoil(story, fault.store, fault.how)
      break
    case 'restore':
      await tryRestore(story)
      return
  }
  trouble(story, until)
  tally.count('faults', fault.kind === 'share' ? `share ${fault.state}` : fault.kind)
}

function trouble(story: Story, until: number): void {
  story.troubledUntil = Math.max(story.troubledUntil, until)
}

async function prepared(story: Story): Promise<void> {
  if (await backUpByHand(story)) return
  // If Mello is full, the operator makes room and tries again.
  if (story.world.mello.on) makeRoomOnMello(story, lookAround(story.world, story.remembered))
  await backUpByHand(story)
}

/** The instance is lost now; a new one is there at `until`. */
export function loseVerda(story: Story, until: number): void {
  const { world } = story
  if (!world.verda.on) return
  world.verda.on = false
  world.verda.ahead = 0
  story.later.push({ at: until, act: () => newInstance(story) })
  trouble(story, until)
}

function powerOn(story: Story): void {
  story.world.verda.on = true
}

/** Restores a new instance. For some hours it is half-restored and no backup may be made of it. */
async function newInstance(story: Story): Promise<void> {
  const { world, stock, tally } = story
  const dice = story.chance('new instances')
  world.verda.on = true
  world.verda.restoring = true
  const before = new Map(archived.map(({ name }) => [name, world.ledger.current(name).version]))
  const wish = {
    prefer: dice.pick(['order', 'order', 'newest'] as const),
    withMello: dice.happens(0.3),
    // Sometimes the point is to skip the last days.
    ...(dice.happens(0.1) ? { at: dateOf(world.now - dice.spread(24, 1000) * hour) } : {}),
  }
  const restored = await restoreAll(world, stock, wish)
  tally.count('restores', 'of a new instance')
  count(story, restored)
  for (const { name, host } of archived.filter(({ host }) => host === 'verda')) {
    if (host !== 'verda') continue
    const back = restored.find(({ item }) => item === name)
    const was = before.get(name) as number
    const { bytes } = world.ledger.current(name)
    if (was !== 0 && wish.at === undefined && back?.version !== was) {
      const copies = (['sfs', 'mello', 'r2'] as const).map((store) => stock.newest(name, store, world.now))
      tally.most(
        `lost of ${name}`,
        loss(
          world,
          name,
          copies.filter((copy) => copy?.version === back?.version),
        ),
      )
      tally.count('items that a new instance got older than they were', name)
    }
    if (back) world.ledger.goBack(name, world.now, back.version)
    else if (was !== 0) world.ledger.change(name, world.now, bytes)
  }
  story.later.push({
    at: world.now + Math.ceil(dice.spread(10, 300)) * minute,
    async act() {
      world.verda.restoring = false
      trouble(story, world.now)
    },
  })
  trouble(story, world.now)
}

/** The operator tries a restore to a random date. */
async function tryRestore(story: Story): Promise<void> {
  const { world, stock, tally } = story
  const dice = story.chance('restores')
  const time = story.world.now - dice.next() * (world.now - story.start)
  const wish = {
    prefer: dice.pick(['order', 'newest'] as const),
    withMello: dice.happens(0.5),
    ...(dice.happens(0.85) ? { at: dateOf(time, dice.happens(0.5)) } : {}),
  }
  count(story, await restoreAll(world, stock, wish))
  tally.count('restores', wish.at === undefined ? 'to now' : 'to a date')
}

/** How people write a date for --at: a day, or an hour. */
function dateOf(time: number, withHour = false): string {
  const text = new Date(time).toISOString()
  return withHour ? text.slice(0, 13).replace('T', '-') : text.slice(0, 10)
}

/** Checks whether each copy holds what really existed at its record's time. */
function count({ world, tally }: Story, restored: readonly Restored[]): void {
  for (const { item, version, time } of restored) {
    tally.count('restored items', 'in all')
    if (world.ledger.was(item, version, time, time))
      tally.count('restored items', 'as they were at the time of their record')
    else tally.count('restored items', 'dated by a clock that was wrong')
  }
}
