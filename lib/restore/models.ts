import { createHash, type Hash } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { lstat, mkdir, open, rename, rm, stat, statfs, symlink, unlink } from 'node:fs/promises'
import path from 'node:path'
import type { RestoreSource } from '../inventory.ts'
import { messageOf } from '../message.ts'
import { recordName } from '../naming.ts'
import { readRecord } from '../record.ts'
import { smallText } from '../stores/small-text.ts'
import { type AppendOnlyStore, NoSuchKey } from '../stores/store.ts'
import { writeBody } from '../stores/write-body.ts'
import type { ItemOutcome } from './report.ts'

/** A source of models: a folder whose files can be linked to, or a store from which they are downloaded. */
export interface ModelShelf {
  name: RestoreSource
  store: AppendOnlyStore
  /** Before every model's path, in the store. */
  folder: string
  /** The folder of the store on this machine, where it is one. */
  here?: string
}

export interface ModelsWanted {
  /** In the order in which they are asked. */
  shelves: readonly ModelShelf[]
  /** Where the models belong on this machine. */
  target: string
  /** Which keys are models: folders of the inventory, and the extension. */
  folders: readonly string[]
  extension: string
  /** How many are downloaded at once. */
  atOnce: number
  onTotal(bytes: number): void
  onBytes(bytes: number): void
}

type FileOutcome = NonNullable<ItemOutcome['files']>[number]

interface Model {
  path: string
  /** Its true size: a store's, where one has it; a file on the share that has another may be half of a download. */
  bytes: number
  /** Which shelves have it in that size, first choice first. */
  from: ModelShelf[]
}

/**
 * Makes every model that any shelf has be there under `target`: a file of its size is left alone, a shelf that is a folder of this machine is linked to, else it is
 * downloaded and compared with its record. Returns one outcome a model; a model that is there with another size fails and is not touched.
 */
export async function bringModels(wanted: ModelsWanted): Promise<FileOutcome[]> {
  const models = await listAll(wanted)
  const outcomes: FileOutcome[] = []
  const toLoad: Model[] = []
  for (const model of models) {
    const outcome = await settled(wanted, model)
    if (outcome) outcomes.push(outcome)
    else toLoad.push(model)
  }
  const bytes = toLoad.reduce((sum, model) => sum + model.bytes, 0)
  wanted.onTotal(bytes)
  if (toLoad.length > 0) await checkRoom(wanted.target, bytes)
  let next = 0
  const lanes = Array.from({ length: Math.min(wanted.atOnce, toLoad.length) }, async () => {
    while (next < toLoad.length) outcomes.push(await download(wanted, toLoad[next++] as Model))
  })
  await Promise.all(lanes)
  return outcomes.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** What bringing a model would be. `in the way`: another file has its name. */
export interface PlannedModel {
  path: string
  bytes: number
  how: 'there' | 'link' | 'download' | 'in the way'
  from?: RestoreSource
}

/** What bringModels would do, model by model. */
export async function surveyModels(wanted: ModelsWanted): Promise<PlannedModel[]> {
  const planned: PlannedModel[] = []
  for (const model of await listAll(wanted)) {
    const { how } = await look(wanted, model)
    const from = model.from[0]?.name
    planned.push({ path: model.path, bytes: model.bytes, how, ...(from ? { from } : {}) })
  }
  return planned
}

/** The models that the shelves have and that are not there under `target`, by path. */
export async function missingModels(wanted: ModelsWanted): Promise<{ missing: string[]; count: number }> {
  const models = await listAll(wanted)
  const missing: string[] = []
  for (const { path: name, bytes } of models) {
    const there = await stat(path.join(wanted.target, name)).catch(() => undefined)
    if (!there?.isFile() || there.size !== bytes) missing.push(name)
  }
  return { missing, count: models.length }
}

async function listAll({ shelves, folders, extension }: ModelsWanted): Promise<Model[]> {
  const found = new Map<string, { shelf: ModelShelf; bytes: number }[]>()
  for (const shelf of shelves) {
    for await (const { key, bytes } of shelf.store.list(shelf.folder)) {
      const name = key.slice(shelf.folder.length)
      const parts = name.split('/')
      if (!folders.includes(parts[0] as string) || !name.endsWith(extension)) continue
      // A key is any text: one that would lead out of the folder is no model's.
      if (parts.some((part) => ['', '.', '..'].includes(part))) continue
      found.set(name, [...(found.get(name) ?? []), { shelf, bytes }])
    }
  }
  const models = [...found].map(([name, copies]): Model => {
    const { bytes } = copies.find(({ shelf }) => shelf.here === undefined) ?? (copies[0] as { bytes: number })
    return { path: name, bytes, from: copies.flatMap((copy) => (copy.bytes === bytes ? copy.shelf : [])) }
  })
  return models.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** How a model is to be had, and what has its name now. */
async function look({ target }: ModelsWanted, { path: name, bytes, from }: Model) {
  const file = path.join(target, name)
  const there = await stat(file).catch(() => undefined)
  const isLink = (await lstat(file).catch(() => undefined))?.isSymbolicLink() ?? false
  const isWhole = there?.isFile() === true && there.size === bytes
  const wayTo = from[0]?.here === undefined ? 'download' : 'link'
  const how: PlannedModel['how'] = isWhole ? 'there' : there && !isLink ? 'in the way' : wayTo
  return { how, file, isLink, size: there?.size }
}

/** What is there already, or can be linked to. */
async function settled(wanted: ModelsWanted, model: Model): Promise<FileOutcome | undefined> {
  const { how, file, isLink, size } = await look(wanted, model)
  const { path: name, bytes, from } = model
  if (how === 'there') return { path: name, status: 'unchanged', bytes }
  if (how === 'in the way') {
    const error = `${file} is there with ${size} bytes, and ${from[0]?.name} has ${bytes}: it was not touched; move it away and run this again`
    return { path: name, status: 'failed', bytes, error }
  }
  if (isLink) await unlink(file)
  const [best] = from
  if (best?.here === undefined) return undefined
  await mkdir(path.dirname(file), { recursive: true })
  await symlink(path.join(best.here, best.folder, name), file)
  return { path: name, status: 'linked', bytes }
}

/** Tries the shelves in turn. */
async function download(wanted: ModelsWanted, { path: name, bytes, from }: Model): Promise<FileOutcome> {
  const problems: string[] = []
  for (const shelf of from) {
    try {
      await fetchFile(wanted, shelf, name, bytes)
      return { path: name, status: 'downloaded', bytes }
    } catch (error) {
      problems.push(messageOf(error))
    }
  }
  return { path: name, status: 'failed', bytes, error: problems.join('; ') }
}

/** What an interrupted download left is gone on with: in a store that is never overwritten, a key's content does not change. */
async function fetchFile(
  wanted: ModelsWanted,
  shelf: ModelShelf,
  name: string,
  bytes: number,
): Promise<void> {
  const file = path.join(wanted.target, name)
  const partial = path.join(path.dirname(file), `.${path.basename(file)}.partial`)
  const key = shelf.folder + name
  await mkdir(path.dirname(file), { recursive: true })
  const hash = createHash('sha256')
  const begun = await begunBytes(partial)
  const from = begun <= bytes ? begun : 0
  if (from > 0) {
    await digestInto(hash, partial, from)
    wanted.onBytes(from)
  } else await rm(partial, { force: true })
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants
  const handle = await open(partial, O_RDWR | O_NOFOLLOW | (from > 0 ? 0 : O_CREAT | O_EXCL), 0o600)
  try {
    await writeBody(handle, (await shelf.store.open(key, from)) as AsyncIterable<Buffer>, {
      at: from,
      onChunk(chunk) {
        hash.update(chunk)
        wanted.onBytes(chunk.length)
      },
    })
    await handle.sync()
    const { size } = await handle.stat()
    const expected = await digestOnRecord(shelf.store, key)
    if (size !== bytes || (expected !== undefined && expected !== hash.digest('hex'))) {
      await rm(partial)
      throw new Error(
        `${shelf.name}: ${key} was downloaded and is not what its record says: nothing of it was kept; run this again`,
      )
    }
    await handle.chmod(0o644)
  } finally {
    await handle.close()
  }
  await rename(partial, file)
}

/** How much an interrupted download left. The folder may be one in which everybody writes: what is no file of this user's own, with one name, is not gone on with. */
async function begunBytes(partial: string): Promise<number> {
  const is = await lstat(partial).catch(() => undefined)
  return is?.isFile() && is.nlink === 1 && is.uid === process.getuid?.() ? is.size : 0
}

async function digestInto(hash: Hash, file: string, bytes: number): Promise<void> {
  for await (const chunk of createReadStream(file, { end: bytes - 1 })) hash.update(chunk)
}

async function digestOnRecord(store: AppendOnlyStore, key: string): Promise<string | undefined> {
  try {
    return readRecord((await smallText(store, recordName(key))) ?? '')?.sha256
  } catch (error) {
    if (error instanceof NoSuchKey) return undefined
    throw error
  }
}

async function checkRoom(target: string, bytes: number): Promise<void> {
  await mkdir(target, { recursive: true })
  const { bavail, bsize } = await statfs(target)
  if (bavail * bsize < bytes)
    throw new Error(
      `no room in ${target}: ${bavail * bsize} bytes are free, ${bytes} are needed for the models`,
    )
}
