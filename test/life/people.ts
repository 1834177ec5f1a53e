import { selectStored } from '../../lib/backup/select.ts'
import { isWrong } from '../../lib/cli/finding.ts'
import type { StoreName } from '../../lib/inventory.ts'
import { recordName } from '../../lib/naming.ts'
import type { Assessment } from '../../lib/status/judge/assess.ts'
import { adopt } from '../../lib/verify/adopt.ts'
import { listArchives } from '../../lib/verify/survey.ts'
import { requestOf } from '../crontab-file.ts'
import { backUp } from './backups.ts'
import { filesOf, forgetMended, isDamaged } from './damage.ts'
import { sha256Of } from './memory-store.ts'
import type { Story } from './story.ts'
import { archived, startProcess, storeIn, violation } from './world.ts'

/** On the morning of a working day the operator reads status and follows its advice. */
export async function morning(story: Story, look: Assessment): Promise<void> {
  const { world, tally } = story
  if (world.verda.on) delete world.verda.markedOff
  await mendModels(story)
  for (const finding of look.findings.filter(isWrong)) {
    tally.count('alarms on a morning', finding.trouble)
    const { trouble, store, items, what } = finding
    if (what.includes('shrank from')) await acceptShrink(story, items)
    else if (['failed run', 'missing', 'overdue'].includes(trouble)) await runAsTold(story, finding.todo)
    if (trouble === 'no record') await adoptOrphans(story)
    const canReach = store === 'mello' || (store === 'sfs' && world.verda.on && world.share === 'well')
    if (canReach && ['broken', 'no archive', 'future', 'clock'].includes(trouble))
      for (const item of items) moveAwayBad(story, store as 'sfs' | 'mello', item)
    if (trouble === 'room' && store === 'mello') makeRoomOnMello(story, look)
  }
  actOnVerify(story)
  forgetMended(story)
}

/** Acts on what verify found: moves it away; for a bucket, touches the sources so they are stored again. */
function actOnVerify(story: Story): void {
  const { world, stock } = story
  story.found = story.found.filter(({ store, key }) => {
    const item = archived.find(({ name }) => key.includes(`${name}-20`))?.name
    if (item === undefined) return false
    if (store === 'r2') {
      world.ledger.touch(item, world.now)
      story.damage = story.damage.filter((one) => !(one.store === 'r2' && one.keys.includes(key)))
      return false
    }
    if (store === 'sfs' && !(world.verda.on && world.share === 'well')) return true
    const files = filesOf(world, store, item)
    if (isDamaged(story, store, key))
      stock.tampering(() => {
        files.delete(key)
        files.delete(recordName(key))
      })
    return false
  })
}

/** Moves away copies that have the wrong size, are gone or are from the future, with their records. */
function moveAwayBad({ world, stock }: Story, store: 'sfs' | 'mello', item: string): void {
  const files = filesOf(world, store, item)
  for (const { key, file } of files.under('')) {
    const archive = key.endsWith('.sha256') ? key.slice(0, -'.sha256'.length) : undefined
    if (archive === undefined || !archive.slice(archive.lastIndexOf('/') + 1).startsWith(`${item}-20`))
      continue
    const text = file.content.toString()
    const bytes = Number(/^# bytes: (\d+)$/m.exec(text)?.[1])
    const time = Date.parse(/^# time: (\S+)$/m.exec(text)?.[1] ?? '')
    if (files.get(archive)?.content.length === bytes && !(time > world.now)) continue
    stock.tampering(() => {
      files.delete(archive)
      files.delete(key)
    })
  }
}

/** Moves the copies that status calls movable. Each must be on R2, and none may be the newest of its item. */
export function makeRoomOnMello(story: Story, { movable }: Assessment): void {
  const { world, stock, tally } = story
  for (const { item, key, sha256, alsoAt } of movable) {
    const there = filesOf(world, 'r2', item).get(alsoAt)
    if ((there === undefined || sha256Of(there.content) !== sha256) && !isDamaged(story, 'r2', alsoAt))
      throw violation(
        world,
        `status says that ${key} may be moved from Mello, and R2 has not the same as ${alsoAt}`,
      )
    if (stock.newest(item, 'mello', world.now)?.key === key)
      throw violation(
        world,
        `status says that ${key} may be moved from Mello, which is the newest of its item`,
      )
    stock.tampering(() => {
      world.melloFiles.delete(key)
      world.melloFiles.delete(recordName(key))
    })
    tally.count('moved away from Mello', item)
  }
}

/** Runs the command that status prints, as it is printed, once the cause is gone. */
async function runAsTold(story: Story, todo: string): Promise<void> {
  const { verda, mello, share, r2 } = story.world
  const [, command] = /(scripts\/backup-[a-z]+\.ts(?: --\S+ \S+)*)/.exec(todo) ?? []
  const request = command && requestOf({ schedule: '', command: `/${command}` })
  if (!request || !verda.on || verda.restoring || !mello.on || share !== 'well' || r2 !== 'well') return
  await backUp(story, request)
  story.tally.count('runs as status told', request.command)
}

async function acceptShrink(story: Story, items: readonly string[]): Promise<void> {
  const only = items.filter((item) => item === 'user-outputs' || item === 'user-data')
  if (only.length > 0) await backUp(story, { command: 'backup-mello', only }, { acceptShrink: true })
}

/** Backs up a model that R2 lacks. On most days the operator notices. */
async function mendModels(story: Story): Promise<void> {
  const { world } = story
  const lacking = [...world.models].filter(([path]) => world.r2Files.models.get(path) === undefined)
  if (lacking.length > 0 && world.verda.on && !world.verda.restoring && story.chance('models').happens(0.8))
    await backUp(story, { command: 'backup-verda', only: ['models'] })
}

/** `verify --adopt`. Tokens are not real archives, so this gives the answers that gzip and tar would give. */
async function adoptOrphans(story: Story): Promise<void> {
  const { world, tally } = story
  const process = startProcess(world.mello)
  let left = false
  for (const name of ['mello', 'r2'] as StoreName[]) {
    if (name === 'r2' && world.r2 === 'away') continue
    for (const { item, stores } of selectStored(undefined)) {
      if (item.bucket === undefined || item.capture.kind === 'models' || !stores.includes(name)) continue
      const shelf = { name, bucket: item.bucket, store: storeIn(world, process, name, item.bucket) }
      for (const archive of await listArchives(shelf, item, world.settings.environment)) {
        if (archive.recorded || archive.bytes === undefined) continue
        const { content } = filesOf(world, name, item.name).get(archive.key) as { content: Buffer }
        const inside = { members: 1, files: 1, missing: [] }
        const verdict = { archive, bytes: content.length, sha256: sha256Of(content), inside } as const
        const at = new Date(world.now)
        const outcome = await adopt(shelf, { status: 'unverified', ...verdict }, world.settings, at)
        // An increment without its record cannot be adopted, and stays.
        if ('refused' in outcome && item.increments) left = true
        else if ('refused' in outcome) throw new Error(outcome.refused)
        else tally.count('adopted', name)
      }
    }
  }
  story.mayHaveOrphans = left
}
