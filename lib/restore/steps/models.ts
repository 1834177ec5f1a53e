import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm, statfs, symlink, unlink } from 'node:fs/promises'
import path from 'node:path'
import type { ModelCopy } from '../../copies.ts'
import type { Held } from '../../files/beneath.ts'
import { recordName } from '../../naming.ts'
import { type ArchiveRecord, readRecord } from '../../record.ts'
import { writeBody } from '../../stores/directory/write-body.ts'
import { pool } from '../../stores/pool.ts'
import { type AppendOnlyStore, NoSuchKey, smallText } from '../../stores/store.ts'
import { bytesInWords, messageOf, runAgain } from '../../text.ts'
import { plannedItem, type RestoreContext, Skip, type Step } from '../context.ts'
import { latin1, passThrough } from '../files/paths.ts'
import {
  listAll,
  look,
  type Model,
  type ModelShelf,
  type ModelsWanted,
  modelsWanted,
} from '../plan/models.ts'
import { reasonsOf } from '../plan/sources.ts'
import type { ItemOutcome } from '../report.ts'

const name = 'models'

/** Puts the models where the workshop looks for them: linked from the share, otherwise downloaded. */
export function modelsStep(context: RestoreContext): Step {
  return {
    name,
    title: 'Models: links to the share, else downloads',
    items: [name],
    done: async () => undefined,
    async do() {
      const leftOut = plannedItem(context, name)?.leftOut
      if (leftOut !== undefined) throw new Skip(leftOut)
      const wanted = await modelsWanted({ ...context, limit: context.plan.at })
      if (wanted.shelves.length === 0)
        throw new Error(`no source of models can be reached: ${whyNone(context)}`)
      const files = await bringModels(wanted, context.watch)
      if (files.length === 0)
        throw new Error(
          `there are no models in ${[...new Set(wanted.shelves.map((shelf) => shelf.name))].join(', ')}`,
        )
      const failed = files.filter(({ status }) => status === 'failed')
      const changed = files.some(({ status }) => status !== 'unchanged')
      const status = failed.length > 0 ? 'failed' : changed ? 'restored' : 'unchanged'
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
      const reason = failed.map(({ error }) => error).join('; ')
      context.outcomes.set(name, { item: name, status, bytes, files, reason: reason || undefined })
      if (failed.length > 0) throw new Error(reason)
      const count = (one: string) => files.filter((file) => file.status === one).length
      return {
        said: `${count('linked')} linked, ${count('downloaded')} downloaded, ${count('unchanged')} there already`,
        changed,
      }
    },
  }
}

function whyNone({ unreachable }: RestoreContext): string {
  const reasons = [...unreachable.keys()].flatMap((source) => reasonsOf(unreachable, source))
  return reasons.join('; ') || 'the flags leave all of them out'
}

type FileOutcome = NonNullable<ItemOutcome['files']>[number]
type Watch = Pick<RestoreContext['watch'], 'total' | 'bytes'>

/** How many downloads run at once. */
const atOnce = 4

/**
 * Makes every model on any shelf available under `target`: keeps a file of its size, links to a local shelf,
 * or downloads and checks the record. One outcome per model; a file of another size stays and fails.
 */
export async function bringModels(wanted: ModelsWanted, watch: Watch): Promise<FileOutcome[]> {
  const models = await listAll(wanted)
  const outcomes: FileOutcome[] = []
  const toLoad: Model[] = []
  const failed = ({ path: name, bytes }: Model, error: unknown) => {
    outcomes.push({ path: name, status: 'failed', bytes, error: messageOf(error) })
  }
  for (const model of models) {
    try {
      const outcome = await settled(wanted, model)
      if (outcome) outcomes.push(outcome)
      else toLoad.push(model)
    } catch (error) {
      failed(model, error)
    }
  }
  watch.total(toLoad.reduce((sum, model) => sum + model.bytes, 0))
  let promised = 0
  const downloads = pool(atOnce)
  for (const model of toLoad)
    await downloads.add(async () => {
      promised += model.bytes
      await checkRoom(wanted.target, promised)
        .then(() => download(wanted, watch, model))
        .then((outcome) => outcomes.push(outcome))
        .catch((error) => failed(model, error))
      promised -= model.bytes
    })
  await downloads.done()
  return outcomes.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** A model that is already here or can be linked to. */
async function settled(wanted: ModelsWanted, model: Model): Promise<FileOutcome | undefined> {
  const { how, file, isLink, size } = await look(wanted, model)
  const { path: name, bytes, from } = model
  if (how === 'there') return { path: name, status: 'unchanged', bytes }
  if (how === 'in the way') {
    const error = `${file} is there with ${size} bytes, and ${from[0]?.shelf.name} has ${bytes}: it was left alone; move it away, then ${runAgain()}`
    return { path: name, status: 'failed', bytes, error }
  }
  const best = from[0]?.shelf
  if (!isLink && best?.here === undefined) return undefined
  await using folder = await folderAbove(file)
  if (isLink) await unlink(folder.at(path.basename(file)))
  if (best?.here === undefined) return undefined
  await symlink(path.join(best.here, best.folder, name), folder.at(path.basename(file)))
  return { path: name, status: 'linked', bytes }
}

/** Tries the shelves in turn. */
async function download(
  wanted: ModelsWanted,
  watch: Watch,
  { path: name, bytes, from }: Model,
): Promise<FileOutcome> {
  const problems: string[] = []
  for (const { shelf, copy } of from) {
    try {
      await fetchFile(wanted, watch, shelf, copy, name)
      return { path: name, status: 'downloaded', bytes }
    } catch (error) {
      problems.push(messageOf(error))
    }
  }
  return { path: name, status: 'failed', bytes, error: problems.join('; ') }
}

/** Continues an interrupted download: stores never overwrite, so a key's content stays the same. */
async function fetchFile(
  wanted: ModelsWanted,
  watch: Watch,
  shelf: ModelShelf,
  { key, bytes }: ModelCopy,
  name: string,
): Promise<void> {
  await using folder = await folderAbove(path.join(wanted.target, name))
  const file = folder.at(path.basename(name))
  const partial = folder.at(partialName(name))
  const hash = createHash('sha256')
  const begun = await openBegun(partial, bytes)
  const from = begun?.bytes ?? 0
  if (begun === undefined) await rm(partial, { force: true })
  const handle = begun?.handle ?? (await open(partial, O_RDWR | O_NOFOLLOW | O_CREAT | O_EXCL, 0o600))
  try {
    if (from > 0)
      for await (const chunk of handle.createReadStream({ start: 0, end: from - 1, autoClose: false }))
        hash.update(chunk)
    watch.bytes(from)
    await writeBody(handle, (await shelf.store.open(key, from)) as AsyncIterable<Buffer>, {
      at: from,
      onChunk(chunk) {
        hash.update(chunk)
        watch.bytes(chunk.length)
      },
    })
    await handle.sync()
    const { size } = await handle.stat()
    const record = await recordOf(shelf.store, key)
    if (size !== bytes || (record !== undefined && record.sha256 !== hash.digest('hex'))) {
      await rm(partial)
      throw new Error(
        `${shelf.name}: ${key} was downloaded and does not match its record, so it was discarded: ${runAgain()}`,
      )
    }
    await handle.chmod(0o644)
    // Otherwise the next backup would see the file as newer than its record.
    if (record?.time !== undefined) await handle.utimes(record.time, record.time)
  } finally {
    await handle.close()
  }
  await rename(partial, file)
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants

/** Hidden, next to the model, and short enough for file systems: at most 255 bytes. */
function partialName(name: string): string {
  const usual = `.${path.basename(name)}.partial`
  if (Buffer.byteLength(usual) <= 255) return usual
  return `.${createHash('sha256').update(path.basename(name)).digest('hex')}.partial`
}

/** Opens an unfinished download only if it is this user's own file, with one name: anyone may write here. */
async function openBegun(
  partial: string,
  most: number,
): Promise<{ handle: FileHandle; bytes: number } | undefined> {
  const handle = await open(partial, O_RDWR | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined)
  const is = await handle?.stat()
  if (is?.isFile() && is.nlink === 1 && is.uid === process.getuid?.() && is.size <= most)
    return { handle: handle as FileHandle, bytes: is.size }
  await handle?.close()
  return undefined
}

/** Holds a file's folder, making it if missing. */
async function folderAbove(file: string): Promise<Held> {
  return passThrough(latin1(path.dirname(file)), '/')
}

async function recordOf(store: AppendOnlyStore, key: string): Promise<ArchiveRecord | undefined> {
  try {
    return readRecord((await smallText(store, recordName(key))) ?? '')
  } catch (error) {
    if (error instanceof NoSuchKey) return undefined
    throw error
  }
}

/** `bytes`: the total of all running downloads. */
async function checkRoom(target: string, bytes: number): Promise<void> {
  await using folder = await passThrough(latin1(target), '/')
  const { bavail, bsize } = await statfs(folder.path)
  if (bavail * bsize < bytes)
    throw new Error(
      `not enough space in ${target}: ${bytesInWords(bavail * bsize)} free, ${bytesInWords(bytes)} needed for the models`,
    )
}
