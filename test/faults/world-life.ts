import { kinds, pickKind } from './kinds.ts'
import { oracleOf } from './oracle.ts'
import { randomOf } from './random.ts'
import { itemsOf, later, makeRound, playRound, type Result, said } from './round.ts'
import { buildWorld, changeable, type World } from './world.ts'

export interface Life {
  seed: number
  /** The world's rounds, by their numbers in the campaign. */
  first: number
  count: number
  /** The folder for everything that happens. */
  folder: string
  mounts: boolean
  /** The kinds to choose from. */
  kinds: readonly string[]
}

/**
 * Lives one world: round after round, so history builds up. A round's random numbers depend only on the seed
 * and its number; the stores are as earlier rounds left them.
 */
export async function liveThrough(life: Life, onResult: (result: Result) => void): Promise<void> {
  const { seed, first, count, folder, mounts } = life
  const world = await buildWorld({ folder, mounts })
  const among = kinds.filter(({ name }) => life.kinds.includes(name))
  let now = new Date(Date.UTC(2026, 2, 1 + (first % 300), first % 24)).toISOString()
  try {
    await backUpAll(world, now)
    const oracle = await oracleOf(world)
    for (let index = first; index < first + count; index++) {
      const random = randomOf(seed, index)
      const kind = pickKind(among, random)
      const command = random.pick(kind.commands)
      now = later(now, random.pick([7, 60, 60, 6 * 60, 25 * 60, 8 * 1440, 33 * 1440]))
      now = new Date(Math.floor(Date.parse(now) / 60_000) * 60_000 + world.nextTick()).toISOString()
      for (const item of changeable) if (random.chance(0.6)) world.change(item, random)
      if (random.chance(0.3)) world.change('models', random)
      world.settle()
      const began = Date.now()
      const round = makeRound(world, oracle, random, command, now)
      const played = await playRound(round, kind)
      const seconds = (Date.now() - began) / 1000
      onResult({ index, kind: kind.name, command: round.command, seconds, ...played })
      if (kind.name !== 'clock' && round.now > now) now = round.now
    }
  } finally {
    await world.dispose()
  }
}

/** The start of a world: a first backup of everything that the rounds cover. */
async function backUpAll(world: World, now: string): Promise<void> {
  world.witness(now)
  for (const [command, items] of Object.entries(itemsOf)) {
    const run = await world.run(command, ['--json', '--only', items.join(',')], { env: { BACKUP_NOW: now } })
    if (run.code !== 0) throw new Error(`the first ${command} of a world failed: ${said(run)}`)
  }
}
