import type { Request } from '../../lib/backup/select.ts'
import type { StoreName } from '../../lib/inventory.ts'
import { isDamaged } from './damage.ts'
import { judgeRun } from './judge.ts'
import { type Ran, type RunOptions, runBackup } from './run.ts'
import type { Story } from './story.ts'
import { readToken } from './token.ts'
import { archived, violation } from './world.ts'

/** Runs a backup, checks it against the truth and counts it. */
export async function backUp(story: Story, request: Request, options: RunOptions = {}): Promise<Ran> {
  const { world, stock, tally } = story
  const ran = await runBackup(world, request, story.chance('changes while reading'), options)
  const { plan, report } = ran
  // No two runs start at the same moment.
  const began = world.now
  tally.count('runs', report === undefined ? 'killed' : report.ok ? 'ok' : 'with failures')
  judgeRun(world, stock, ran, {
    damaged: (store, key) => stock.chain(store as StoreName, key).some((one) => isDamaged(story, store, one)),
    // Damage that must stay blocks rotation; a full share also has no room for the report.
    problem: (text) =>
      (text.includes('rotation waits, because a copy that must stay is damaged') &&
        story.damage.some(({ store }) => store === 'sfs')) ||
      (text.includes('report could not be saved in sfs') && world.share === 'full') ||
      text.includes('report could not be saved in mello'),
  })
  world.now += story.chance('seconds').whole(100, 5000)
  if (report === undefined) {
    story.mayHaveOrphans = true
    story.troubledUntil = Math.max(story.troubledUntil, world.now)
    return ran
  }
  for (const { key, reasons } of report.rotated) {
    const item = archived.find(({ name }) => key.includes(`${name}-20`))?.name ?? key
    const stamp = /(\d{4}-\d\d-\d\d)/.exec(key)?.[1] as string
    const days = Math.floor((world.now - Date.parse(stamp)) / 86_400_000)
    const age = days <= 7 ? 'up to a week' : days <= 31 ? 'up to a month' : 'more than a month'
    tally.count('rotated', `${reasons[0]}, ${age} old`)
    tally.count('rotated of', item)
  }
  for (const { item } of plan.jobs) {
    const stores = report.items.find((outcome) => outcome.item === item)?.stores ?? {}
    for (const [store, { status, bytes = 0 }] of Object.entries(stores)) {
      // Without the run's report no other command can know about the damage.
      if (status === 'failed' || report.problems.some((text) => text.includes(`be saved in ${store}`)))
        continue
      story.safeAt.set(`${item} ${store}`, began)
      if (status === 'stored') tally.count(`stored on ${store}`, item)
      if (status === 'stored' && item === 'models') tally.count('models stored', store, bytes)
    }
  }
  return ran
}

/** Both commands by hand before a shutdown. If they say it is safe, Mello and R2 must have everything. */
export async function backUpByHand(story: Story): Promise<boolean> {
  const { world, stock, tally } = story
  const { report } = await backUp(story, { command: 'backup-verda' })
  await backUp(story, { command: 'backup-mello' })
  const safe = report?.safeToShutDown === true
  tally.count('before a shutdown', safe ? 'SAFE TO SHUT DOWN' : 'NOT SAFE TO SHUT DOWN')
  if (!safe) return false
  for (const { name, host } of archived) {
    const { version } = world.ledger.current(name)
    if (host !== 'verda' || version === 0) continue
    for (const store of ['mello', 'r2'] as const) {
      const copies = stock.copiesOf(name, store)
      const damaged = story.damage.some((one) => one.store === store && one.item === name)
      if (!damaged && !copies.some((copy) => copy.version === version))
        throw violation(world, `SAFE TO SHUT DOWN was said, and ${store} has not ${name} as it is now`)
    }
  }
  for (const [path] of world.models) {
    const file = world.r2Files.models.get(path)
    if (file === undefined || readToken(file.content)?.item !== path)
      throw violation(world, `SAFE TO SHUT DOWN was said, and R2 has not ${path}`)
  }
  return true
}
