import path from 'node:path'
import { Readable } from 'node:stream'
import {
  hangsText,
  listModels,
  type Model,
  type ModelListing,
  type ModelSource,
  modelFlaws,
  readModel,
} from '../capture/models.ts'
import { listModelCopies, type ModelCopy, newestModelCopy } from '../copies.ts'
import { modelLadder, nameOf, recordName } from '../naming.ts'
import { makeRecord } from '../record.ts'
import { makeDigests, sha256Of } from '../stores/digests.ts'
import { pool } from '../stores/pool.ts'
import type { S3Store } from '../stores/s3/store.ts'
import type { Receipt } from '../stores/store.ts'
import { messageOf, printable, runAgain } from '../text.ts'
import type { JobContext, Stored, Surveyed } from './context.ts'
import { fanOut } from './fan-out.ts'
import { type ModelDigests, modelDigests } from './model-digests.ts'
import type { Target } from './plan.ts'
import type { FileOutcome, StoreOutcome } from './report.ts'

/**
 * Models, each stored as one file: the missing ones in each object store, and changed content under a dated
 * name. Same size counts as stored; if it may have changed, or a killed run left no record, it is compared
 * and sent again only if it differs. Throws CaptureError if there are no models.
 */
export async function surveyModels(context: JobContext, source: ModelSource): Promise<Surveyed> {
  const listing = await listModels(context.on, source)
  const run: ModelsRun = { ...context, source, digests: modelDigests(context, source, listing.models) }
  const open = () =>
    Promise.all(
      // Models go only to object stores (facts, "R2 Buckets", 2).
      run.job.targets.map((target) => openShelf(run, target, run.stores.get(target) as S3Store)),
    )
  return {
    store: async () => storeModels(run, listing, await open()),
    async lacking() {
      const shelves = await open()
      const lacking = new Set((await lackingOf(run, listing, shelves)).flatMap(({ into }) => into))
      return shelves
        .filter(
          (shelf) =>
            [...lacking].some((one) => one.shelf === shelf) || outcomeOf(shelf, listing, run.now).error,
        )
        .map(({ target }) => target.store)
    },
  }
}

interface ModelsRun extends JobContext {
  source: ModelSource
  /** Digests of the host's files: each is read once for all stores and runs, and only if needed. */
  digests: ModelDigests
}

/** The models that a store needs, and where they go. */
async function lackingOf(run: ModelsRun, listing: ModelListing, shelves: readonly Shelf[]) {
  const lacking: { model: Model; into: Writing[] }[] = []
  for (const model of listing.models) {
    const into: Writing[] = []
    for (const shelf of shelves) {
      const key = await keyFor(run, shelf, model)
      if (key !== undefined) into.push({ shelf, key })
    }
    if (into.length > 0) lacking.push({ model, into })
  }
  return lacking
}

async function storeModels(run: ModelsRun, listing: ModelListing, shelves: Shelf[]): Promise<Stored> {
  const lacking = await lackingOf(run, listing, shelves)
  run.emit({ kind: 'total', bytes: lacking.reduce((sum, { model }) => sum + model.bytes, 0) })
  const sending = pool(atOnce)
  for (const { model, into } of lacking) {
    const { read, stored } = send(run, model, into)
    await read
    await sending.add(() => stored)
  }
  await sending.done()
  return {
    stores: Object.fromEntries(
      shelves.map((shelf) => [shelf.target.store, outcomeOf(shelf, listing, run.now)]),
    ),
    warnings: [...shelves.flatMap(({ warning }) => warning ?? []), ...warningsOf(run, listing)],
  }
}

/** One model is read at a time; this many earlier ones are still uploading or being read back. */
const atOnce = 4

/** In bytes. Half of a store's usual part, so that two overlapping models take no more memory than one. */
const partBytes = 8 * 2 ** 20

/** One store during the transfer of models. */
interface Shelf {
  target: Target
  store: S3Store
  /** What is there, by model path. */
  there: Map<string, ModelCopy[]>
  /** The same by key; undefined: another model is being written to that key. */
  taken: Map<string, ModelCopy | undefined>
  /** Whether neither `verify` nor its record reports a problem. */
  isSound(copy: ModelCopy): boolean
  files: FileOutcome[]
  error?: string
  warning?: string
}

/** Where a model goes in one store. */
interface Writing {
  shelf: Shelf
  key: string
}

async function openShelf(run: ModelsRun, target: Target, store: S3Store): Promise<Shelf> {
  const shelf: Shelf = {
    target,
    store,
    there: new Map(),
    taken: new Map(),
    isSound: ({ flaw }) => flaw === undefined,
    files: [],
  }
  try {
    const { warning } = await store.probe()
    if (warning !== undefined) shelf.warning = warning
    const isBroken = await run.broken(target.store)
    shelf.isSound = (copy) => copy.flaw === undefined && !isBroken(target.bucket, copy)
    shelf.there = await listModelCopies(store, target.folder, run.source, true)
    for (const copy of [...shelf.there.values()].flat()) shelf.taken.set(copy.key, copy)
  } catch (error) {
    shelf.error = messageOf(error)
  }
  return shelf
}

/** The key for a model; undefined if its content is there or it cannot be stored, both of which are noted. */
async function keyFor(run: ModelsRun, shelf: Shelf, model: Model): Promise<string | undefined> {
  if (shelf.error !== undefined) return undefined
  const { path, bytes } = model
  const own = shelf.target.folder + path
  const { taken, isSound } = shelf
  const newest = newestModelCopy(shelf.there.get(path)?.filter(isSound))
  const note = (outcome: Pick<FileOutcome, 'status' | 'error' | 'sha256'>, key = newest?.key ?? own) => {
    shelf.files.push({ key, bytes, ...outcome })
  }
  try {
    if (newest?.error !== undefined) throw new Error(newest.error)
    const same = newest?.bytes === bytes && (await sameContent(run, shelf, newest, model))
    if (same) {
      note({ status: 'unchanged', ...same })
      return undefined
    }
    for (const name of [path, ...modelLadder(path, run.now)]) {
      const key = shelf.target.folder + name
      const there = taken.get(key)
      if (!taken.has(key)) {
        taken.set(key, undefined)
        return key
      }
      // A killed run left it without its record.
      if (there === undefined || there.recorded || there.bytes !== bytes || !isSound(there)) continue
      const same = await sameContent(run, shelf, there, model)
      if (!same) continue
      note({ status: 'unchanged', ...same }, key)
      return undefined
    }
    throw new Error(
      `${shelf.store.name}: every name of ${own} for this minute is taken. In a minute, ${runAgain()}`,
    )
  } catch (error) {
    note({ status: 'failed', error: messageOf(error) })
    return undefined
  }
}

/**
 * What is known of an object with this model's content; undefined if it differs. With a record it is trusted
 * unless the file changed since. Without one, ours is read, compared and gets its record; another tool's
 * counts by size (facts: models were uploaded before there were records).
 */
async function sameContent(
  run: ModelsRun,
  { store }: Shelf,
  { key, record, time }: ModelCopy,
  model: Model,
): Promise<{ sha256?: string } | undefined> {
  const { digests } = run
  if (record !== undefined) {
    const { sha256 } = record
    const known = await digests.known(model)
    const mayHaveChanged = model.modified > time || (await digests.wasOther(model))
    const is = known ?? (mayHaveChanged ? await digests.of(model) : sha256)
    return is === sha256 ? { sha256 } : undefined
  }
  if (!(await store.isOwn(key))) return {}
  const [there, sha256] = await Promise.all([sha256Of(await store.openPastCache(key)), digests.of(model)])
  if (there !== sha256) return undefined
  const text = recordOf(run, model.path, { key, bytes: model.bytes, sha256 })
  await store.create(recordName(key), Readable.from([Buffer.from(text)]))
  return { sha256 }
}

/** Reads the model once, into every store that lacks it. `read`: resolves when the reading is done. */
function send(run: ModelsRun, model: Model, into: Writing[]): Record<'read' | 'stored', Promise<void>> {
  let identity: string | undefined
  const bodies = fanOut(
    readModel(run.on, run.source, model, (is) => {
      identity = is
    }),
    into.map(() => () => {}),
    { atEnd: run.notHalfRestored },
  )
  const digests = makeDigests()
  const read = Promise.all(bodies.map((body) => new Promise((resolve) => body.once('close', resolve))))
  const stored = Promise.all(
    into.map(async ({ shelf, key }, index) => {
      const body = bodies[index] as Readable
      let outcome: FileOutcome
      try {
        const source = { bytes: model.bytes, open: () => body }
        // With several stores, only the first counts the bytes.
        const onBytes = index === 0 ? run.onBytes : () => {}
        const receipt = await shelf.store.createFrom(key, source, { partBytes, onBytes, digests })
        await shelf.store.create(
          recordName(key),
          Readable.from([Buffer.from(recordOf(run, model.path, receipt))]),
        )
        await run.digests.note(model, identity, receipt.sha256)
        outcome = { key, bytes: receipt.bytes, sha256: receipt.sha256, status: 'stored' }
      } catch (error) {
        outcome = { key, bytes: model.bytes, status: 'failed', error: messageOf(error) }
      } finally {
        body.destroy()
      }
      shelf.files.push(outcome)
      run.emit({ kind: 'file done', item: run.job.item, store: shelf.target.store, outcome })
    }),
  )
  return { read: read.then(() => {}), stored: stored.then(() => {}) }
}

function recordOf({ plan, job, now }: ModelsRun, model: string, { key, bytes, sha256 }: Receipt): string {
  const archive = nameOf(key)
  return makeRecord({
    archive,
    item: job.item,
    host: job.host,
    environment: plan.environment,
    time: now,
    bytes,
    sha256,
    original: archive === path.posix.basename(model) ? undefined : model,
  })
}

function outcomeOf({ error, files }: Shelf, listing: ModelListing, now: Date): StoreOutcome {
  if (error !== undefined) return { status: 'failed', error }
  const failures = [
    ...files.flatMap((file) => file.error ?? []),
    ...modelFlaws(listing, now).failures,
    ...listing.hanging.map(hangsText),
  ]
  const stored = files.filter(({ status }) => status === 'stored')
  return {
    status: failures.length > 0 ? 'failed' : stored.length > 0 ? 'stored' : 'unchanged',
    bytes: stored.reduce((sum, { bytes }) => sum + bytes, 0),
    files: files.sort((a, b) => (a.key < b.key ? -1 : 1)),
    error: failures.join('; ') || undefined,
  }
}

function warningsOf(run: ModelsRun, listing: ModelListing): string[] {
  const { extension, folders } = run.source
  const { others } = listing
  const uncovered = others.map(printable).join(', ')
  return [
    ...modelFlaws(listing, run.now).warnings,
    ...(others.length > 0
      ? [`no rule covers ${uncovered}: only ${extension} files in ${folders.join(', ')} are backed up`]
      : []),
  ]
}
