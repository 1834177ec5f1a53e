import { Readable } from 'node:stream'
import { listModels, type Model, type ModelListing, type ModelSource, readModel } from './capture/models.ts'
import { sha256Of } from './digest.ts'
import { fanOut } from './fan-out.ts'
import type { Host } from './hosts/host.ts'
import { messageOf } from './message.ts'
import { recordName } from './naming.ts'
import type { Job, Plan, Target } from './plan.ts'
import { printable } from './printable.ts'
import { makeRecord } from './record.ts'
import type { FileOutcome, StoreOutcome } from './report.ts'
import { makeDigests } from './stores/digests.ts'
import type { S3Store } from './stores/s3.ts'
import { lanes } from './stores/s3-lanes.ts'
import type { Receipt } from './stores/store.ts'

export interface ModelsRun {
  plan: Plan
  job: Job
  now: Date
  source: ModelSource
  host: Host
  stores: Map<Target, S3Store>
  /** Bytes of all the models that some store lacks, before the first is sent. */
  onTotal(bytes: number): void
  onBytes(bytes: number): void
  onFile(store: string, outcome: FileOutcome): void
}

/**
 * Adds to each object store the models that it lacks, under their own names. A model that is there with its size counts as there, unless
 * a run of ours left it without its record: then it is compared first. One with another size is a failure and is not touched. What a killed run had sent already is compared and not sent again.
 * Throws CaptureError when there are no models at all.
 */
export async function backUpModels(
  run: ModelsRun,
): Promise<{ outcomes: Map<Target, StoreOutcome>; warnings: string[] }> {
  const listing = await listModels(run.host, run.source)
  const shelves = await Promise.all([...run.stores].map(([target, store]) => openShelf(target, store)))
  const lacking = listing.models.map((model) => ({
    model,
    shelves: shelves.filter((shelf) => lacks(shelf, model)),
  }))
  run.onTotal(lacking.reduce((sum, one) => sum + (one.shelves.length > 0 ? one.model.bytes : 0), 0))
  for (const shelf of shelves)
    for (const model of shelf.unrecorded) shelf.files.push(await complete(run, shelf, model))
  const sending = lanes(atOnce)
  for (const { model, shelves: into } of lacking) {
    if (into.length === 0) continue
    const { read, stored } = send(run, model, into)
    await read
    await sending.add(() => stored)
  }
  await sending.done()
  return {
    outcomes: new Map(shelves.map((shelf) => [shelf.target, outcomeOf(shelf, listing)])),
    warnings: [...shelves.flatMap(({ warning }) => warning ?? []), ...warningsOf(listing, run.source)],
  }
}

/** One model is read at a time; so many before it are sent to their end, put together by the server and read back meanwhile. */
const atOnce = 4

/** In bytes. Half of a store's usual one, so that the end of one model and the beginning of the next take no more memory than one did. */
const partBytes = 8 * 2 ** 20

/** One store while the models are brought to it. */
interface Shelf {
  target: Target
  store: S3Store
  /** Sizes by key, as the store has them. */
  there: Map<string, number>
  files: FileOutcome[]
  /** There with their size, and without a record. */
  unrecorded: Model[]
  error?: string
  warning?: string
}

async function openShelf(target: Target, store: S3Store): Promise<Shelf> {
  const shelf: Shelf = { target, store, there: new Map(), files: [], unrecorded: [] }
  try {
    const { warning } = await store.probe()
    if (warning !== undefined) shelf.warning = warning
    for await (const { key, bytes } of store.list(target.folder))
      shelf.there.set(key.slice(target.folder.length), bytes)
  } catch (error) {
    shelf.error = messageOf(error)
  }
  return shelf
}

/** Also notes what is there already, and what is there as something else. */
function lacks(shelf: Shelf, model: Model): boolean {
  const { path, bytes } = model
  if (shelf.error !== undefined) return false
  const stored = shelf.there.get(path)
  if (stored === undefined) return true
  const key = shelf.target.folder + path
  if (stored === bytes && shelf.there.has(recordName(path)))
    shelf.files.push({ key, bytes, status: 'unchanged' })
  else if (stored === bytes) shelf.unrecorded.push(model)
  else {
    const error = `${shelf.store.name}: ${key} is there with ${stored} bytes, the model has ${bytes}: it was not touched; give the new model a name of its own`
    shelf.files.push({ key, bytes, status: 'failed', error })
  }
  return false
}

/**
 * What a run of ours stored, and was killed or refused before its record: both are read and compared, and the record is written. One that another hand
 * brought there counts by its size (facts: models were uploaded long before there were records).
 */
async function complete(run: ModelsRun, { store, target }: Shelf, model: Model): Promise<FileOutcome> {
  const { bytes } = model
  const key = target.folder + model.path
  try {
    if (!(await store.isOwn(key))) return { key, bytes, status: 'unchanged' }
    const [there, here] = await Promise.all([
      sha256Of(await store.openPastCache(key)),
      sha256Of(readModel(run.host, run.source, model)),
    ])
    if (there !== here) {
      const error = `${store.name}: ${key} is there without a record, and with other content than the model: it was not touched; give the model a name of its own`
      return { key, bytes, status: 'failed', error }
    }
    await store.create(
      recordName(key),
      Readable.from([Buffer.from(recordOf(run, { key, bytes, sha256: here }))]),
    )
    return { key, bytes, sha256: here, status: 'unchanged' }
  } catch (error) {
    return { key, bytes, status: 'failed', error: messageOf(error) }
  }
}

/** Reads the model once, into every store that lacks it. `read`: nothing more is read of it. */
function send(run: ModelsRun, model: Model, shelves: Shelf[]): Record<'read' | 'stored', Promise<void>> {
  const bodies = fanOut(
    readModel(run.host, run.source, model),
    shelves.map(() => () => {}),
  )
  const digests = makeDigests()
  const read = Promise.all(bodies.map((body) => new Promise((resolve) => body.once('close', resolve))))
  const stored = Promise.all(
    shelves.map(async (shelf, index) => {
      const body = bodies[index] as Readable
      const key = shelf.target.folder + model.path
      let outcome: FileOutcome
      try {
        const source = { bytes: model.bytes, open: () => body }
        // With several stores the bytes of each are counted once, by the first.
        const onBytes = index === 0 ? run.onBytes : () => {}
        const receipt = await shelf.store.createFrom(key, source, { partBytes, onBytes, digests })
        await shelf.store.create(recordName(key), Readable.from([Buffer.from(recordOf(run, receipt))]))
        outcome = { key, bytes: receipt.bytes, sha256: receipt.sha256, status: 'stored' }
      } catch (error) {
        outcome = { key, bytes: model.bytes, status: 'failed', error: messageOf(error) }
      } finally {
        body.destroy()
      }
      shelf.files.push(outcome)
      run.onFile(shelf.target.store, outcome)
    }),
  )
  return { read: read.then(() => {}), stored: stored.then(() => {}) }
}

function recordOf({ plan, job, now }: ModelsRun, { key, bytes, sha256 }: Receipt): string {
  const archive = key.slice(key.lastIndexOf('/') + 1)
  return makeRecord({
    archive,
    item: job.item,
    host: job.host,
    environment: plan.environment,
    time: now,
    bytes,
    sha256,
  })
}

function outcomeOf({ error, files }: Shelf, listing: ModelListing): StoreOutcome {
  if (error !== undefined) return { status: 'failed', error }
  const failures = [
    ...files.flatMap((file) => file.error ?? []),
    ...listing.broken.map(
      (path) =>
        `${printable(path)} is a link to nowhere, or its name cannot be one in a bucket: it is not backed up`,
    ),
  ]
  const stored = files.filter(({ status }) => status === 'stored')
  return {
    status: failures.length > 0 ? 'failed' : stored.length > 0 ? 'stored' : 'unchanged',
    bytes: stored.reduce((sum, { bytes }) => sum + bytes, 0),
    files: files.sort((a, b) => (a.key < b.key ? -1 : 1)),
    ...(failures.length > 0 ? { error: failures.join('; ') } : {}),
  }
}

function warningsOf({ others }: ModelListing, { extension, folders }: ModelSource): string[] {
  if (others.length === 0) return []
  return [
    `no rule covers ${others.map(printable).join(', ')}: only ${extension} files in ${folders.join(', ')} are backed up`,
  ]
}
