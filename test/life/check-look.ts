import type { Assessment } from '../../lib/status/assess.ts'
import { graceHours } from '../../lib/status/expected.ts'
import { hasDamage } from './damage.ts'
import { lookAround } from './look.ts'
import type { Story } from './story.ts'
import { violation } from './world.ts'

const hour = 3_600_000

type Finding = Assessment['findings'][number]

/**
 * Holds what status says against the truth: an item whose newest copy is older than twice its schedule is told as such, one that is not, is not; and when nothing was wrong for
 * days, nobody is called. Throws a violation.
 */
export function checkLook(story: Story): Assessment {
  const { world } = story
  const look = lookAround(world, story.remembered)
  story.tally.count('looks', look.ok ? 'nothing needs a person' : 'something needs a person')
  checkCells(story, look)
  if (story.damage.length > 0 || story.found.length > 0) return look
  // The images, which come once a day, are overdue after two; and nobody acts at a weekend.
  if (world.now - story.troubledUntil < 5 * 24 * hour) return look
  const needless = look.findings.filter((finding) => finding.alarm && !isDue(story, finding, look.findings))
  if (needless.length > 0)
    throw violation(
      world,
      `a needless alarm: ${needless.map(({ trouble, what }) => `${trouble}: ${what}`).join('; ')}`,
    )
  return look
}

/** What a person has to do even when nothing is broken. */
function isDue(
  { world, mayHaveOrphans }: Story,
  { trouble, store, items, what }: Finding,
  all: readonly Finding[],
): boolean {
  if (trouble === 'room' && store === 'mello') return true
  if (trouble === 'missing' && items.includes('models'))
    return [...world.models].some(([path]) => world.r2Files.models.get(path) === undefined)
  if (trouble === 'no record') return mayHaveOrphans
  const isRefused = (said: string) => said.includes('shrank from') || said.includes('no room')
  // What is refused hour after hour is overdue after a while.
  const refused = all.some((one) => isRefused(one.what) && one.items.some((item) => items.includes(item)))
  return isRefused(what) || (trouble === 'overdue' && refused)
}

function checkCells(story: Story, look: Assessment): void {
  const { world, stock, safeAt, tally } = story
  // A copy that a wrong clock dated, and what follows from it, is judged by another test.
  if (world.verda.ahead !== 0 || world.mello.ahead !== 0) return
  for (const cell of look.cells) {
    const { item, store, state, hours, freshAt } = cell
    const shelf = look.shelves.find((one) => one.store === store)
    if (hours === undefined || item === 'models' || store === 'git' || shelf?.state !== 'seen') continue
    if (hasDamage(story, item, store) || state === 'absent') continue
    const newest = stock.newest(item, store, world.now)
    // A pair that was cut off: a restore finds which of its records fits, and status reads no archive; the next run finishes it.
    if (newest?.half) continue
    const last = Math.max(newest?.time ?? 0, newest ? (safeAt.get(`${item} ${store}`) ?? 0) : 0)
    const late = newest !== undefined && world.now - last > graceHours(hours) * hour
    const should = newest === undefined ? 'missing' : late ? 'overdue' : 'fresh'
    if (state !== should && !isByClock(story))
      throw violation(
        world,
        `status says that ${item} on ${store} is ${state} (${freshAt?.toISOString()}), and it is ${should}: last safe ${new Date(last).toISOString()}`,
      )
    if (state === 'overdue' || state === 'missing') {
      tally.count('needed alarms', state)
      const told = [...look.findings, ...look.quiet].some(
        (finding) => finding.trouble === state && finding.store === store && finding.items.includes(item),
      )
      if (!told) throw violation(world, `status does not tell that ${item} on ${store} is ${state}`)
    }
  }
}

/** Whether copies or reports that a wrong clock dated may still be about. */
function isByClock({ clockTroubleUntil, world }: Story): boolean {
  return world.now < clockTroubleUntil
}
