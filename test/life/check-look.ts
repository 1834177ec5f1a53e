import { isWrong } from '../../lib/cli/finding.ts'
import type { Assessment } from '../../lib/status/judge/assess.ts'
import { graceHours } from '../../lib/status/judge/expected.ts'
import { hasDamage } from './damage.ts'
import { lookAround } from './look.ts'
import type { Story } from './story.ts'
import { violation } from './world.ts'

const hour = 3_600_000

type Finding = Assessment['findings'][number]

/**
 * Checks status against the truth: it must report exactly the items older than twice their schedule.
 * After days without trouble it must ask for no action. Throws a violation.
 */
export function checkLook(story: Story): Assessment {
  const { world } = story
  const look = lookAround(world, story.remembered)
  story.tally.count('looks', look.ok ? 'nothing needs a person' : 'something needs a person')
  checkCells(story, look)
  if (story.damage.length > 0 || story.found.length > 0) return look
  // Daily images are overdue after two days, and people do not work at weekends.
  if (world.now - story.troubledUntil < 5 * 24 * hour) return look
  const needless = look.findings.filter(
    (finding) => isWrong(finding) && !isDue(story, finding, look.findings),
  )
  if (needless.length > 0)
    throw violation(
      world,
      `a needless alarm: ${needless.map(({ trouble, what }) => `${trouble}: ${what}`).join('; ')}`,
    )
  return look
}

/** What people have to do even when nothing is broken. */
function isDue(
  { world, mayHaveOrphans }: Story,
  { trouble, store, items, what }: Finding,
  all: readonly Finding[],
): boolean {
  if (trouble === 'room' && store === 'mello') return true
  if (trouble === 'missing' && items.includes('models'))
    return [...world.models].some(([path]) => world.r2Files.models.get(path) === undefined)
  if (trouble === 'no record') return mayHaveOrphans
  const isRefused = (said: string) => said.includes('shrank from') || said.includes('not enough space')
  // An item that is refused hour after hour becomes overdue.
  const refused = all.some((one) => isRefused(one.what) && one.items.some((item) => items.includes(item)))
  return isRefused(what) || (trouble === 'overdue' && refused)
}

function checkCells(story: Story, look: Assessment): void {
  const { world, stock, safeAt, tally } = story
  // Another test judges copies that a wrong clock dated, and what follows from them.
  if (world.verda.ahead !== 0 || world.mello.ahead !== 0) return
  for (const cell of look.cells) {
    const { item, store, state, hours, freshAt } = cell
    const shelf = look.shelves.find((one) => one.store === store)
    if (hours === undefined || item === 'models' || store === 'git' || shelf?.state !== 'seen') continue
    if (hasDamage(story, item, store) || state === 'absent') continue
    const newest = stock.newest(item, store, world.now)
    // Status reads no archives, so cannot tell which record fits a half-written pair. The next run fixes it.
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

/** Whether copies or reports dated by a wrong clock may still be around. */
function isByClock({ clockTroubleUntil, world }: Story): boolean {
  return world.now < clockTroubleUntil
}
