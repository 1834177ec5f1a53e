import { Readable } from 'node:stream'
import { type Capture, ChangedWhileRead, type Stream, type Survey } from './capture/capture.ts'
import { type KnownCopy, listCopies, newestGood } from './copies.ts'
import { fanOut } from './fan-out.ts'
import { messageOf } from './message.ts'
import { makeStamp, recordName, type StampUnit } from './naming.ts'
import { mendPairs, type Place, placeFor } from './place.ts'
import type { Job, Plan, Target } from './plan.ts'
import { makeRecord } from './record.ts'
import type { StoreOutcome } from './report.ts'
import { type Digests, makeDigests } from './stores/digests.ts'
import { type AppendOnlyStore, KeyExists, type Receipt, Rotten, rotates, StoreError } from './stores/store.ts'

/** One item on its way into its stores. */
export interface ItemRun {
  plan: Plan
  job: Job
  /** When the sources are read: what the names and the records say. */
  now: Date
  capture: Capture
  stores: Map<Target, AppendOnlyStore>
  acceptShrink: boolean
  /** Given how many bytes of the archive were taken, as they are. */
  onBytes(bytes: number): void
}

export interface ItemResult {
  outcomes: Map<Target, StoreOutcome>
  warnings: string[]
  /** Why nothing was there to be backed up, though nothing was required. */
  absent?: string
}

/** A target that needs new content, and the name that it shall have there. */
interface Writing {
  target: Target
  store: AppendOnlyStore
  previous: KnownCopy | undefined
  place: Place
}

/**
 * Backs one item up into all its stores: the sources are read at most once, and not at all where nothing changed.
 * What fails in one store is that store's outcome alone. Throws CaptureError when the sources are no backup.
 */
export async function backUpItem(run: ItemRun): Promise<ItemResult> {
  const survey = await run.capture.survey()
  if (survey.state === 'absent') return { outcomes: new Map(), warnings: [], absent: survey.reason }
  const result: ItemResult = { outcomes: new Map(), warnings: [] }
  const writings: Writing[] = []
  const steps = [...run.stores].map(([target, store]) =>
    prepare(run, target, store, survey, result.warnings).catch(failure),
  )
  for (const [index, target] of [...run.stores.keys()].entries()) {
    const step = (await steps[index]) as StoreOutcome | Writing
    if ('status' in step) result.outcomes.set(target, step)
    else writings.push(step)
  }
  await capture(run, survey, writings, result)
  return result
}

/**
 * What to do in one store: nothing more (with its outcome), or a writing. Unchanged content writes nothing, but on SFS a
 * new day gets a name of its own for the same bytes, which are read back for it: rotation may then remove older ones for their sake.
 */
async function prepare(
  run: ItemRun,
  target: Target,
  store: AppendOnlyStore,
  survey: Survey & { state: 'there' },
  warnings: string[],
): Promise<StoreOutcome | Writing> {
  const { item } = run.job
  const { now } = run
  const room = await store.probe(target.folder)
  if (room.warning !== undefined) warnings.push(room.warning)
  if (rotates(store)) await mendPairs(store, target.folder, item)
  const copies = await listCopies(store, target.folder, item)
  const previous = await newestGood(store, copies, now)
  const place = await placeFor(store, target, run.job.item, run.now, copies)
  if (previous?.record.fingerprint === survey.fingerprint) {
    const today = makeStamp(now, target.stamp as StampUnit)
    if (!rotates(store) || previous.stamp.startsWith(today)) return unchanged(previous, previous.key)
    if (!place.over) {
      const record = {
        ...previous.record,
        time: now,
        archive: baseName(place.key),
        bytes: previous.bytes as number,
      }
      const rotten = await store.link(previous.key, place.key, makeRecord(record)).catch(ifRotten)
      if (rotten === undefined) return unchanged(previous, place.key)
      warnings.push(`${rotten.message}; a whole one is made now`)
    }
  }
  const needed = previous?.bytes ?? 0
  if (room.freeBytes !== undefined && room.freeBytes < needed) {
    throw new StoreError(
      `${store.name}: no room: ${room.freeBytes} bytes free, about ${needed} needed. Free some, or make the store larger`,
    )
  }
  return { target, store, previous, place }
}

/** A copy that must not be carried on into the new day. */
function ifRotten(error: unknown): Rotten {
  if (error instanceof Rotten) return error
  throw error
}

function unchanged({ bytes, record: { sha256 } }: KnownCopy, key: string): StoreOutcome {
  return { status: 'unchanged', key, bytes: bytes as number, sha256 }
}

/** Reads the sources into every writing at once; once more where something changed meanwhile or a name was lost to another run. */
async function capture(
  run: ItemRun,
  survey: Survey & { state: 'there' },
  writings: Writing[],
  result: ItemResult,
): Promise<void> {
  let pending = writings
  let acceptChanges = false
  for (let attempt = 1; pending.length > 0; attempt++) {
    const stream = run.capture.open(acceptChanges)
    const bodies = fanOut(
      stream.body,
      pending.map((writing) => (bytes: number) => admit(run, writing, bytes)),
      run.onBytes,
    )
    const digests = makeDigests()
    const endings = await Promise.allSettled(
      pending.map((writing, index) =>
        write(run, writing, bodies[index] as Readable, digests, survey.fingerprint, stream),
      ),
    )
    const changed = stream.body.errored instanceof ChangedWhileRead
    const again: Writing[] = []
    for (const [index, ending] of endings.entries()) {
      const writing = pending[index] as Writing
      if (ending.status === 'fulfilled') {
        const { key, bytes, sha256 } = ending.value
        result.outcomes.set(writing.target, { status: 'stored', key, bytes, sha256 })
      } else if (changed && !acceptChanges) again.push(writing)
      else if (ending.reason instanceof KeyExists && attempt < 4) again.push(await elsewhere(run, writing))
      else result.outcomes.set(writing.target, failure(ending.reason))
    }
    acceptChanges ||= changed
    pending = again
    if (pending.length === 0) result.warnings.push(...stream.warnings, ...changeWarnings(stream))
  }
}

/** Law 5: an archive of less than half of its predecessor is a failure, unless the operator says otherwise. */
function admit({ acceptShrink, job }: ItemRun, { previous, store }: Writing, bytes: number): void {
  const before = previous?.bytes ?? 0
  if (bytes * 2 >= before || acceptShrink) return
  throw new StoreError(
    `${store.name}: ${job.item} shrank from ${before} to ${bytes} bytes; ${previous?.key} stays the newest. ` +
      'If that is right, run once with --accept-shrink',
  )
}

async function write(
  run: ItemRun,
  { store, place }: Writing,
  body: Readable,
  digests: Digests,
  fingerprint: string,
  stream: Stream,
): Promise<Receipt> {
  const { plan, job } = run
  const record = ({ bytes, sha256 }: Receipt) =>
    makeRecord({
      archive: baseName(place.key),
      item: job.item,
      host: job.host,
      environment: plan.environment,
      time: run.now,
      bytes,
      sha256,
      fingerprint,
      changed: stream.changed,
    })
  if (rotates(store))
    return place.over
      ? store.replace(place.key, body, record, digests)
      : store.createPair(place.key, body, record, digests)
  const receipt = await store.create(place.key, body, digests)
  try {
    await store.create(recordName(place.key), Readable.from([Buffer.from(record(receipt))]))
  } catch (error) {
    throw new StoreError(
      `${store.name}: ${place.key} is stored whole, but its record could not be (${messageOf(error)}); until \`verify --adopt\` writes one, it does not count`,
      { cause: error },
    )
  }
  return receipt
}

/** After a name was lost to another run: what is there now decides which is next. */
async function elsewhere(run: ItemRun, writing: Writing): Promise<Writing> {
  const { store, target } = writing
  const copies = await listCopies(store, target.folder, run.job.item)
  return { ...writing, place: await placeFor(store, target, run.job.item, run.now, copies) }
}

function changeWarnings({ changed }: Stream): string[] {
  if (changed.length === 0) return []
  return [
    `${changed.length} changed while being read, twice; noted in the record: ${changed.slice(0, 3).join(', ')}${changed.length > 3 ? ', …' : ''}`,
  ]
}

function failure(error: unknown): StoreOutcome {
  return { status: 'failed', error: messageOf(error) }
}

function baseName(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}
