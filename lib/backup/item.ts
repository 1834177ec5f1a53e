import { Readable } from 'node:stream'
import { type Warning, warningText, whatIsUnreadable } from '../acceptance.ts'
import { type Capture, ChangedWhileRead, type Listing, type Stream } from '../capture/capture.ts'
import { writeList } from '../capture/list.ts'
import { listName } from '../chain.ts'
import { type KnownCopy, newestAndLater } from '../copies.ts'
import { nameOf, recordName } from '../naming.ts'
import { type ArchiveRecord, makeRecord } from '../record.ts'
import { type Digests, makeDigests } from '../stores/digests.ts'
import { type AppendOnlyStore, KeyExists, type Receipt, rotates, StoreError } from '../stores/store.ts'
import { firstOf, messageOf } from '../text.ts'
import type { JobContext, Stored, Surveyed } from './context.ts'
import { fanOut } from './fan-out.ts'
import { listAfter, type Pass, passesOf, refuseTorn, type Since, TooLarge } from './increments.ts'
import type { Target } from './plan.ts'
import { admit, elsewhere, newestSound, type Place, prepare, type There, type Writing } from './prepare.ts'
import type { StoreOutcome } from './report.ts'
import { contentCheck } from './same-content.ts'
import { nameAlone } from './select.ts'

/**
 * An item stored as one archive. `store` writes it to all its stores: it reads the sources at most once, and
 * not at all if nothing changed. A failure in one store is that store's outcome only. Throws CaptureError if
 * the sources are no backup.
 */
export async function surveyArchive(context: JobContext, capture: Capture): Promise<Surveyed> {
  const survey = await capture.survey()
  if (survey.state === 'absent')
    return { store: () => storeAbsent(context, survey.reason), lacking: async () => [] }
  const isSame = contentCheck(context, capture, survey)
  return {
    store: () => storeArchive(context, capture, survey, isSame),
    lacking: () => lacking(context, isSame),
    notSaved: survey.warnings.filter(({ kind }) => leavesOut.has(kind)).map(warningText),
  }
}

/** An optional item may be missing; if earlier runs backed it up, every run reports it until it is back. */
async function storeAbsent({ job, stores, now }: JobContext, reason: string): Promise<Stored> {
  const failed: Stored['stores'] = {}
  const found = await Promise.all(
    job.targets.map(async (target) => {
      const store = stores.get(target) as AppendOnlyStore
      return newestAndLater(store, target.folder, job.item, now).catch((error) => {
        failed[target.store] = failure(error)
      })
    }),
  )
  // If no store answers, whether it was ever backed up is unknown.
  const isUnknown = Object.keys(failed).length === job.targets.length
  const before = found.find((copies) => copies?.newest !== undefined)?.newest
  if (before === undefined) return { stores: isUnknown ? failed : {}, warnings: [], absent: reason }
  const warning = `it is gone from its host; ${before.key} has it as of ${before.time.toISOString()}`
  return { stores: {}, warnings: [warning], absent: reason, gone: true }
}

type IsSame = ReturnType<typeof contentCheck>

async function storeArchive(
  context: JobContext,
  capture: Capture,
  survey: There,
  isSame: IsSame,
): Promise<Stored> {
  const { job } = context
  const result: ArchiveResult = { outcomes: new Map(), warnings: new Set(), notSaved: new Set() }
  tell(result, survey.warnings)
  const warn = (text: string) => result.warnings.add(text)
  const steps = await Promise.all(
    job.targets.map((target) => prepare(context, target, survey, isSame, warn).catch(failure)),
  )
  const writings: Writing[] = []
  for (const [index, step] of steps.entries()) {
    const target = job.targets[index] as Target
    if ('status' in step) result.outcomes.set(target, step)
    else if ('same' in step) result.outcomes.set(target, unchanged(step.same, step.key, result))
    else writings.push(step)
  }
  await read(context, capture, survey, writings, result)
  // In the plan's order, not in order of completion.
  const outcomes = job.targets.map((target) => [target.store, result.outcomes.get(target) as StoreOutcome])
  const { warnings, notSaved } = result
  const unreadable = whatIsUnreadable(survey.warnings)
  return {
    stores: Object.fromEntries(outcomes),
    warnings: [...warnings],
    notSaved: [...notSaved],
    ...(unreadable.length > 0 ? { incomplete: firstOf(unreadable) } : {}),
  }
}

interface ArchiveResult {
  outcomes: Map<Target, StoreOutcome>
  warnings: Set<string>
  notSaved: Set<string>
}

/** Several stores usually have the same warnings. */
function tell({ warnings, notSaved }: ArchiveResult, told: readonly Warning[]): void {
  for (const warning of told) {
    warnings.add(warningText(warning))
    if (leavesOut.has(warning.kind)) notSaved.add(warningText(warning))
  }
}

/** Kinds that name data in no copy. */
const leavesOut: ReadonlySet<Warning['kind']> = new Set([
  'name too long',
  'path too long',
  'other file system',
  'unreadable',
  'hangs',
  'closed',
  'source is a link',
  'torn database',
])

/** The stores whose newest copy differs from the sources. */
async function lacking(context: JobContext, isSame: IsSame): Promise<string[]> {
  const held = await Promise.all(
    context.job.targets.map(async (target) => {
      const { newest } = await newestSound(context, target)
      return newest !== undefined && (await isSame(newest)) ? [] : [target.store]
    }),
  )
  return held.flat()
}

/** What was true of the copy when it was made is still true. */
function unchanged({ bytes, record }: KnownCopy, key: string, result: ArchiveResult): StoreOutcome {
  tell(result, record.warnings ?? [])
  return { status: 'unchanged', key, bytes: bytes as number, sha256: record.sha256 }
}

/** Reads the sources into every writing, and again if something changed or another run took a name. */
async function read(
  context: JobContext,
  capture: Capture,
  survey: There,
  writings: Writing[],
  result: ArchiveResult,
): Promise<void> {
  let pending = writings
  // Reading and sending much data again costs more than a note about changes.
  let acceptChanges = survey.bytes > readTwiceBytes
  for (let attempt = 1; pending.length > 0; attempt++) {
    const again: Writing[] = []
    const { passes, same, failed } = await passesOf(context, capture, pending)
    for (const { target, previous } of same)
      result.outcomes.set(target, unchanged(previous as KnownCopy, (previous as KnownCopy).key, result))
    for (const [{ target }, error] of failed) result.outcomes.set(target, failure(error))
    for (const pass of passes) {
      const { endings, stream } = await readOnce(context, capture, survey, pass, acceptChanges)
      const changed = stream.body.errored instanceof ChangedWhileRead
      const before = again.length
      for (const [writing, ending] of endings) {
        if (ending.status === 'fulfilled') {
          const { key, bytes, sha256 } = ending.value
          result.outcomes.set(writing.target, { status: 'stored', key, bytes, sha256 })
        } else if (changed && !acceptChanges) again.push(writing)
        else if (ending.reason instanceof ChangedWhileRead && attempt < 4) again.push(writing)
        else if (ending.reason instanceof TooLarge) again.push({ ...writing, whole: true })
        else if (ending.reason instanceof KeyExists && attempt < 4)
          again.push(await elsewhere(context, writing))
        else result.outcomes.set(writing.target, failure(ending.reason))
      }
      acceptChanges ||= changed
      if (again.length === before) tell(result, warningsOf(survey, stream))
    }
    pending = again
  }
}

/** Reads the sources once for all stores that take the same part of them. */
async function readOnce(
  context: JobContext,
  capture: Capture,
  survey: There,
  pass: Pass<Writing>,
  acceptChanges: boolean,
) {
  context.emit({ kind: 'total', bytes: pass.since?.bytes ?? survey.bytes, about: true })
  const stream = capture.open(acceptChanges, {
    members: pass.listing !== undefined,
    chosen: pass.since?.chosen,
    onRead: context.onBytes,
  })
  stream.body.once('end', () => context.emit({ kind: 'doing', text: 'checking what was stored' }))
  const bodies = fanOut(
    stream.body,
    pass.into.map((writing) => (bytes: number) => {
      refuseTorn(pass, stream)
      admit(context, writing, pass.since, bytes)
    }),
    { atEnd: context.notHalfRestored },
  )
  const digests = makeDigests()
  const results = await Promise.allSettled(
    pass.into.map((writing, index) =>
      write(context, writing, bodies[index] as Readable, digests, survey, stream, pass),
    ),
  )
  const endings = results.map((ending, index) => [pass.into[index] as Writing, ending] as const)
  return { endings, stream }
}

/** Up to this size in bytes, a busy tree is read a second time. */
const readTwiceBytes = 256 * 2 ** 20

/** Warnings for the record. A few of many changed paths suffice; the record names them all. */
function warningsOf(survey: There, { warnings, changed }: Stream): Warning[] {
  const few = changed.slice(0, 5).map((path): Warning => ({ kind: 'changed', path }))
  return [...survey.warnings, ...warnings, ...few]
}

async function write(
  { plan, job, now }: JobContext,
  { store, place, target }: Writing,
  body: Readable,
  digests: Digests,
  survey: There,
  stream: Stream,
  { listing, since }: Pass<Writing>,
): Promise<Receipt> {
  const record = ({ bytes, sha256 }: Receipt, more: Pick<ArchiveRecord, 'list' | 'increment'> = {}) => {
    const all: ArchiveRecord = {
      archive: nameOf(place.key),
      item: job.item,
      host: job.host,
      environment: plan.environment,
      time: now,
      bytes,
      sha256,
      sources: survey.sources,
      fingerprint: listing?.fingerprint ?? survey.fingerprint,
      content: survey.content,
      // An increment's digest says nothing about the whole item.
      tar: since === undefined ? stream.tar : undefined,
      changed: stream.changed,
      warnings: warningsOf(survey, stream),
      ...more,
    }
    return makeRecord(all)
  }
  if (rotates(store))
    return place.over
      ? store.replace(place.key, body, record, digests)
      : store.createPair(place.key, body, record, digests)
  const receipt = await store.create(place.key, body, digests, since?.bytes ?? survey.bytes)
  try {
    const chain = listing && (await writeChain(job, store, place, receipt, stream, listing, since))
    await store.create(recordName(place.key), Readable.from([Buffer.from(record(receipt, chain))]))
  } catch (error) {
    const remedy =
      since === undefined
        ? `It counts once it has one: comfyume-backup verify --adopt --store ${target.store} --only ${nameAlone(job.item)}`
        : 'The next run stores it again'
    throw new StoreError(
      `${store.name}: ${place.key} is stored whole, but its record could not be (${messageOf(error)}). ${remedy}`,
      { cause: error },
    )
  }
  return receipt
}

/** Writes the list next to an archive, and returns the record's lines about its chain. */
async function writeChain(
  { item }: JobContext['job'],
  store: AppendOnlyStore,
  { key }: Place,
  { bytes, sha256 }: Receipt,
  stream: Stream,
  listing: Listing,
  since: Since | undefined,
): Promise<Pick<ArchiveRecord, 'list' | 'increment'>> {
  const { entries, gone } = listAfter(listing, stream, since)
  const links = since?.links ?? []
  const head = { item, archive: { archive: nameOf(key), sha256, bytes }, links }
  const list = await store.create(listName(key), writeList(head, entries, gone))
  const [whole] = links
  return {
    list: { sha256: list.sha256, bytes: list.bytes },
    ...(since && whole
      ? {
          increment: {
            base: { archive: since.base.archive, sha256: since.base.sha256 },
            whole: whole.archive,
            link: links.length,
            deleted: gone.length,
          },
        }
      : {}),
  }
}

function failure(error: unknown): StoreOutcome {
  return { status: 'failed', error: messageOf(error) }
}
