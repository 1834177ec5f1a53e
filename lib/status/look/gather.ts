import { type Job, makePlan, modelSource } from '../../backup/plan.ts'
import { selectItems } from '../../backup/select.ts'
import { readVerified } from '../../backup/verified.ts'
import { hangsText, listModels, modelFlaws } from '../../capture/models.ts'
import { within } from '../../hosts/process.ts'
import { type BucketName, type CaptureKind, items, stores } from '../../inventory.ts'
import { archiveOfRecord } from '../../naming.ts'
import { messageOf } from '../../text.ts'
import { openMemory } from '../../verify/memory.ts'
import { type Contents, contentsOf } from '../judge/contents.ts'
import { type Expected, expectedOf } from '../judge/expected.ts'
import { recordsToCompare } from '../judge/movable.ts'
import { readReport } from '../judge/runs.ts'
import { type Look, storesOf } from './access.ts'
import type { Memory } from './memory.ts'
import { blankShelf, lookAt, openPlaces } from './place.ts'
import { lookAtRepository } from './repository.ts'
import type { Place, Seen, SeenModels, SeenShelf } from './seen.ts'
import { dailyReports } from './wanted.ts'

/** Looks at everything at once. An unreachable place gives its reason and stops nothing else. Read-only. */
export async function gather(options: Look): Promise<{ seen: Seen; memory: Memory }> {
  const { settings, memory, markOff, wanted, now } = options
  const expected = expectedOf(settings.environment, storesOf(settings))
  const sort = (shelf: SeenShelf) => contentsOf(shelf, expected, settings.environment)
  const others = storesOf(settings).filter((store) => store !== 'sfs')
  const [share, repository, ...rest] = await Promise.all([
    lookAtShare(options, expected),
    wanted.has('git') ? lookAtRepository(options) : undefined,
    ...others
      .flatMap((store) => openPlaces(store, options))
      .map(async (place) => ({
        place,
        shelf: wanted.has(place.store) ? await lookAt(place, expected, options) : blankShelf(place, now),
      })),
  ])
  const looked: Looked[] = [share, ...rest]
  const shelves = looked.map(({ shelf }) => shelf)
  await listBroken(looked)
  await compareMello(looked, sort)
  await markProven(shelves, options)
  const dailyReports = options.calendar ? await readDailyReports(looked, sort, now) : undefined
  const answers = share.answers || (memory.verdaOff !== undefined && ranSince(shelves, memory.verdaOff))
  const since = markOff ? (answers ? now : (memory.verdaOff ?? now)) : memory.verdaOff
  // A mark ends when Verda answers again; a new mark waits until Verda is off.
  const stays = since !== undefined && (markOff || !answers)
  return {
    memory: { ...share.remembered, ...(stays && { verdaOff: since }) },
    seen: {
      now,
      drill: settings.now !== undefined,
      environment: settings.environment,
      userDataHost: settings.userDataHost,
      shelves,
      dailyReports,
      models: share.models,
      repository,
      withoutRepository: wanted.has('git') ? undefined : true,
      verdaOff: since && { since, answers },
    },
  }
}

/** A folder or bucket, and what was seen there. */
interface Looked {
  place: Place
  shelf: SeenShelf
}

/** The share and its live models; as last seen if Verda does not answer. */
async function lookAtShare(options: Look, expected: readonly Expected[]) {
  const { vantage, memory, now, wanted, markOff } = options
  const { verdaOff: _, ...remembered } = memory
  const [place] = openPlaces('sfs', options) as [Place]
  // A mark that Verda is off ends once it answers, whatever else is read.
  const isAsked = wanted.has('sfs') || markOff || memory.verdaOff !== undefined
  const problem = isAsked ? await whyNoAnswer(options) : undefined
  const answers = isAsked && problem === undefined
  if (!wanted.has('sfs')) return { place, shelf: blankShelf(place, now), answers, remembered }
  const shelf = answers ? await lookAt(place, expected, options) : blankShelf(place, now, problem)
  if (shelf.state === 'seen') {
    const models = await lookAtModels(options, shelf.source)
    // Verda itself needs no memory of its share.
    return { place, shelf, answers, models, remembered: vantage.onVerda ? {} : { sfs: shelf, models } }
  }
  if (!memory.sfs) return { place, shelf: { ...shelf, answers }, answers, remembered }
  const then: SeenShelf = { ...memory.sfs, state: 'remembered', problem: shelf.problem, answers }
  return { place, shelf: then, answers, remembered, models: memory.models }
}

/** The live models on Verda, which R2 must have too. `source`: what is mounted in the share's place. */
async function lookAtModels(
  { settings, vantage, now }: Look,
  source: string | undefined,
): Promise<SeenModels> {
  const selected = selectItems({ command: 'backup-verda', only: ['models'] })
  const [job] = makePlan('backup-verda', selected, settings, now).jobs as [Job]
  const capture = job.capture as CaptureKind & { kind: 'models' }
  const { prod, clone } = settings.sfs
  const share =
    source === undefined ? undefined : { [`${clone}`]: 'CLONE_SFS', [`${prod}`]: 'PROD_SFS' }[source]
  const where = share ?? capture.path
  try {
    const listing = listModels(vantage.verda, modelSource(job.host, capture, settings))
    const hangs = () => new Error(`${capture.path} did not answer within a minute: the share hangs`)
    const found = await within(60, listing, hangs)
    const { models, hanging } = found
    const problem = hanging.length > 0 ? hanging.map(hangsText).join('; ') : undefined
    return { where, files: models, ...modelFlaws(found, now), ...(problem && { problem }) }
  } catch (error) {
    return { where, files: [], problem: messageOf(error) }
  }
}

async function whyNoAnswer({ vantage }: Look): Promise<string | undefined> {
  try {
    await vantage.verda.run('true', [], { timeout: 60 })
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}

/** Whether a run since then stored something from Verda, or found it unchanged. */
function ranSince(shelves: readonly SeenShelf[], since: Date): boolean {
  const onVerda = new Set(items.filter(({ host }) => host === 'verda').map(({ name }) => name))
  return shelves
    .filter(({ state }) => state === 'seen')
    .flatMap(({ texts }) => Object.entries(texts))
    .filter(([key]) => key.endsWith('.json'))
    .flatMap(([, text]) => readReport(text) ?? [])
    .some(
      ({ startedAt, items }) =>
        startedAt > since &&
        items.some(({ item, status }) => onVerda.has(item) && ['stored', 'unchanged'].includes(status)),
    )
}

/** What `verify` found broken is reported as long as it exists, however old. */
async function listBroken(looked: readonly Looked[]): Promise<void> {
  for (const { shelf, place } of looked) {
    if (!shelf.since) continue
    const reports = looked
      .filter((one) => one.shelf.store === shelf.store)
      .flatMap((one) => Object.values(one.shelf.texts).flatMap((text) => readVerified(text) ?? []))
    const newest = reports.sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1))[0]
    const listed = new Set(shelf.files.map(({ key }) => key))
    const keys = (newest?.broken ?? []).filter(
      ({ bucket, key }) => bucket === shelf.bucket && !listed.has(key),
    )
    const found = await Promise.all(
      keys.slice(0, mostBroken).map(({ key }) => place.under?.(key).catch(() => []) ?? []),
    )
    shelf.files.push(...found.flat())
  }
}

const mostBroken = 20

/** Sorts a shelf's listing. */
type Sort = (shelf: SeenShelf) => Contents

/** Reads the records that show which of Mello's copies R2 has too; unreadable ones stay unknown. */
async function compareMello(looked: readonly Looked[], sort: Sort): Promise<void> {
  const contents = looked
    .filter(({ shelf: { store, state } }) => state === 'seen' && (store === 'mello' || store === 'r2'))
    .map(({ shelf }) => sort(shelf))
  for (const [{ shelf }, keys] of recordsToCompare(contents, recordsOfMello)) {
    const { place } = looked.find((one) => one.shelf === shelf) as Looked
    for (const [key, text] of await readMore(place, keys)) shelf.texts[key] = text
  }
}

const recordsOfMello = 60

async function readMore(place: Place, keys: readonly string[]): Promise<Iterable<[string, string]>> {
  return place.read(keys).catch(() => [])
}

/** Several stores keep the same report; it is read from the first. The share's speak only of the share. */
async function readDailyReports(
  looked: readonly Looked[],
  sort: Sort,
  now: Date,
): Promise<Seen['dailyReports']> {
  const told: NonNullable<Seen['dailyReports']> = []
  const seen = looked.filter(({ shelf }) => shelf.state === 'seen')
  const read = new Set(
    seen.flatMap(({ shelf: { store, texts } }) => (stores[store].rotates ? [] : Object.keys(texts))),
  )
  for (const { shelf, place } of seen) {
    const isShare = stores[shelf.store].rotates
    const keys = dailyReports(sort(shelf), now).filter((key) => isShare || !read.has(key))
    for (const [key, text] of await readMore(place, keys)) {
      told.push({ from: shelf.store, text })
      if (!isShare) read.add(key)
    }
  }
  return told
}

/** The R2 archives that this machine has read back; none if the memory is unreadable. */
async function markProven(shelves: readonly SeenShelf[], { settings, verifyFolder }: Look): Promise<void> {
  if (verifyFolder === undefined) return
  const memory = await openMemory(verifyFolder, 'r2', settings, () => {})
  for (const { bucket, files } of shelves.filter(({ store }) => store === 'r2')) {
    const recorded = new Set(files.map(({ key }) => archiveOfRecord(key)))
    for (const file of files) {
      const archive = { ...file, bucket: bucket as BucketName, recorded: recorded.has(file.key) }
      if (memory.seen(archive)?.status === 'good') file.proven = true
    }
  }
}
