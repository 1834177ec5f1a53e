import { setImmediate } from 'node:timers/promises'
import { backUp } from './backups.ts'
import { type Chance, chanceOf } from './chance.ts'
import { changesOf, firstDay } from './changes.ts'
import { checkLook } from './check-look.ts'
import { faultsOf } from './faults.ts'
import { measure, sizes } from './measure.ts'
import { morning } from './people.ts'
import { watchStock } from './stock.ts'
import type { Story } from './story.ts'
import { loseVerda, strike } from './strike.ts'
import { newTally } from './tally.ts'
import { type Line, timetable } from './timetable.ts'
import { type Memories, verifyMonth } from './verify-month.ts'
import { newWorld } from './world.ts'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

export interface LifeOptions {
  seed: number
  start: Date
  days: number
  /** Called after each day with the number of days so far. */
  onDay?(days: number): void
  /** Asked after each day: whether to stop here. */
  isEnough?(): boolean
}

/** The result of a life. */
export interface Life {
  story: Story
  /** Bytes at full size at the end of each week, and of the last day. `lived`: days so far. */
  growth: { day: string; lived: number; sizes: Record<string, number> }[]
}

interface Event {
  at: number
  act: () => void | Promise<void>
}

/**
 * Lives so many days in virtual time: people change things, the real crontabs run, faults strike, people act.
 * The seed decides everything. Throws a violation, with seed and time, at the first broken promise.
 */
export async function live({ seed, start, days, onDay, isEnough = () => false }: LifeOptions): Promise<Life> {
  const story = begin(seed, start.getTime())
  const { world } = story
  const faults = faultsOf(seed, world.now + 2 * day, world.now + days * day)
  const lines = timetable()
  const memories: Memories = new Map()
  const growth: Life['growth'] = []
  firstDay(story)
  for (let begun = start.getTime(); begun < start.getTime() + days * day; begun += hour) {
    world.now = begun
    const date = new Date(begun)
    const events: Event[] = changesOf(story, start.getTime())
    for (const line of lines)
      for (const at of line.minutesOf(date))
        events.push({ at: begun + at * minute, act: () => runLine(story, line, memories) })
    while (faults[0] && faults[0].at < begun + hour) {
      const fault = faults.shift() as (typeof faults)[number]
      events.push({ at: fault.at, act: () => strike(story, fault) })
    }
    if (date.getUTCHours() === 9) events.push({ at: begun + 2 * minute, act: () => look(story) })
    events.push({ at: begun + story.chance('measures').whole(0, 59) * minute, act: () => measure(story) })
    await pass(story, events, begun + hour)
    if (date.getUTCHours() !== 23) continue
    const lived = Math.round((begun + hour - start.getTime()) / day)
    const isLast = lived === days || isEnough()
    if (lived % 7 === 0 || isLast)
      growth.push({ day: date.toISOString().slice(0, 10), lived, sizes: sizes(story) })
    onDay?.(lived)
    if (isLast) break
    // Nothing here waits for real I/O: without this, signals and timers would never fire.
    await setImmediate()
  }
  return { story, growth }
}

function begin(seed: number, now: number): Story {
  const world = newWorld(seed, now)
  const chances = new Map<string, Chance>()
  return {
    world,
    start: now,
    stock: watchStock(world),
    tally: newTally(),
    chance(name) {
      const found = chances.get(name) ?? chanceOf(seed, name)
      chances.set(name, found)
      return found
    },
    damage: [],
    found: [],
    mayHaveOrphans: false,
    troubledUntil: now,
    clockTroubleUntil: 0,
    safeAt: new Map(),
    remembered: {},
    later: [],
  }
}

/** Runs the events of an hour in order, with those that become due meanwhile. */
async function pass(story: Story, events: Event[], end: number): Promise<void> {
  for (;;) {
    events.push(...story.later.filter(({ at }) => at < end))
    story.later = story.later.filter(({ at }) => at >= end)
    events.sort((a, b) => a.at - b.at)
    const next = events.shift()
    if (next === undefined) return
    story.world.now = Math.max(story.world.now, next.at + story.chance('seconds').whole(0, 59_000))
    await next.act()
    if (story.world.broken) throw story.world.broken
  }
}

/** Runs a line as cron does if its machine is on. Sometimes the process dies or the instance is lost. */
async function runLine(story: Story, { host, request }: Line, memories: Memories): Promise<void> {
  const { world } = story
  // A new instance has no crontab until its restore ends.
  if (!world[host].on || (host === 'verda' && world.verda.restoring)) return
  if (request === undefined) {
    story.found.push(...(await verifyMonth(world, host, memories, story.chance('verify'))))
    return
  }
  const dice = story.chance('kills')
  const diesAt = dice.happens(1 / 60) ? dice.whole(0, 9) : undefined
  const { report } = await backUp(story, request, diesAt === undefined ? {} : { diesAt })
  if (report === undefined && host === 'verda' && dice.happens(0.15))
    loseVerda(story, world.now + Math.ceil(dice.spread(60, 5000)) * minute)
}

/** On every working day the operator reads status and does what it says. */
async function look(story: Story): Promise<void> {
  const { world } = story
  const weekday = new Date(world.now).getUTCDay()
  if (!world.mello.on || weekday === 0 || weekday === 6) return
  await morning(story, checkLook(story))
}
