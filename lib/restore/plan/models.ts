import { constants, type Stats } from 'node:fs'
import { lstat, open, stat } from 'node:fs/promises'
import path from 'node:path'
import { lengthByHeader } from '../../acceptance.ts'
import { captureOf, folderOf } from '../../backup/plan.ts'
import { foundAmong, newestVerified } from '../../backup/verified.ts'
import {
  listModelCopies,
  type ModelCopy,
  type ModelPaths,
  newestModelCopy,
  servingModelCopies,
} from '../../copies.ts'
import { items, type RestoreSource } from '../../inventory.ts'
import { directoryStore } from '../../stores/directory/store.ts'
import type { AppendOnlyStore } from '../../stores/store.ts'
import { below, type RestoreContext } from '../context.ts'
import type { PlannedModel } from './planned.ts'
import { modelsOnShare } from './sources.ts'

/** A source of models: a folder whose files can be linked to, or a store to download from. */
export interface ModelShelf {
  name: RestoreSource
  store: AppendOnlyStore
  /** The store's prefix for every model path. */
  folder: string
  /** The store's folder on this machine, if it has one. */
  here?: string
  /** Whether `verify` found a copy broken. */
  isBroken?(copy: ModelCopy): boolean
}

export interface ModelsWanted extends ModelPaths {
  /** In the order in which they are tried. */
  shelves: readonly ModelShelf[]
  /** Where the models belong on this machine. */
  target: string
  /** Ignores what was stored or written to the share later. Absent: no limit. */
  limit?: Date
}

export interface Model {
  path: string
  /** The size of a complete file on the share, otherwise a store's: another file may be half downloaded. */
  bytes: number
  /** The shelves that have it in that size, first choice first. */
  from: OfferedModel[]
}

interface OfferedModel {
  shelf: ModelShelf
  copy: ModelCopy
  isSound: boolean
  /** The newer content known to be broken, which this one replaces. */
  instead?: string
}

/** What bringModels would do, per model. */
export async function surveyModels(wanted: ModelsWanted): Promise<PlannedModel[]> {
  const planned: PlannedModel[] = []
  for (const model of await listAll(wanted)) {
    const { how } = await look(wanted, model)
    const { shelf, instead } = model.from[0] as OfferedModel
    planned.push({
      path: model.path,
      bytes: model.bytes,
      how,
      from: shelf.name,
      instead: how === 'there' ? undefined : instead,
    })
  }
  return planned
}

/** Models that the shelves have and `target` lacks, by path. */
export async function missingModels(wanted: ModelsWanted): Promise<{ missing: string[]; count: number }> {
  const models = await listAll(wanted)
  const missing: string[] = []
  for (const { path: name, bytes } of models) {
    const file = path.join(wanted.target, name)
    const there = await stat(file).catch(() => undefined)
    if (!there?.isFile() || (there.size !== bytes && !(await isWholeModel(file)))) missing.push(name)
  }
  return { missing, count: models.length }
}

/** What the shelves have, by path. */
export async function listAll(wanted: ModelsWanted): Promise<Model[]> {
  const found = new Map<string, Model['from']>()
  for (const shelf of wanted.shelves) {
    const listed = await listModelCopies(shelf.store, shelf.folder, wanted, wanted.limit !== undefined)
    for (const [name, copies] of listed) {
      found.set(name, [...(found.get(name) ?? []), ...offeredOf(wanted, shelf, copies)])
    }
  }
  const offered = [...found].filter(([, copies]) => copies.length > 0)
  const models = offered.map(async ([name, copies]): Promise<Model> => {
    const soundFirst = copies.sort((a, b) => Number(b.isSound) - Number(a.isSound))
    const bytes = await trueSize(name, soundFirst)
    return { path: name, bytes, from: soundFirst.filter(({ copy }) => copy.bytes === bytes) }
  })
  return (await Promise.all(models)).sort((a, b) => (a.path < b.path ? -1 : 1))
}

function offeredOf({ limit }: ModelsWanted, shelf: ModelShelf, copies: readonly ModelCopy[]): OfferedModel[] {
  const isSound = (copy: ModelCopy) => copy.flaw === undefined && shelf.isBroken?.(copy) !== true
  const newest = newestModelCopy(copies, limit)
  return servingModelCopies(copies, limit, isSound).map((copy) => {
    const isOther = copy.record?.sha256 !== newest?.record?.sha256
    return { shelf, copy, isSound: isSound(copy), instead: isOther ? newest?.key : undefined }
  })
}

async function trueSize(name: string, copies: Model['from']): Promise<number> {
  const local = copies.find(({ shelf }) => shelf.here !== undefined)
  const stored = copies.find(({ shelf }) => shelf.here === undefined)
  const isWhole = local && stored && (await isWholeModel(path.join(local.shelf.here as string, name)))
  return ((isWhole ? local : (stored ?? local)) as Model['from'][number]).copy.bytes
}

/** Whether a file here has exactly the length that its header gives. */
async function isWholeModel(file: string): Promise<boolean> {
  await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined)
  const is = await handle?.stat()
  if (handle === undefined || is?.isFile() !== true) return false
  const length = await lengthByHeader(async (position, bytes) => {
    const { buffer, bytesRead } = await handle.read({
      buffer: Buffer.alloc(Math.min(bytes, is.size)),
      position,
    })
    return buffer.subarray(0, bytesRead)
  })
  return length === is.size && length > 0
}

/** How to get a model, and what has its name now. */
export async function look({ target, limit }: ModelsWanted, { path: name, bytes, from }: Model) {
  const file = path.join(target, name)
  const there = await stat(file).catch(() => undefined)
  const isLink = (await lstat(file).catch(() => undefined))?.isSymbolicLink() ?? false
  // With `--at`, another size means other content.
  const isWhole =
    there?.isFile() === true &&
    (limit === undefined ? there.size === bytes || (await isWholeModel(file)) : isOf(there, from, limit))
  const wayTo = from[0]?.shelf.here === undefined ? 'download' : 'link'
  const how: PlannedModel['how'] = isWhole ? 'there' : there && !isLink ? 'in the way' : wayTo
  return { how, file, isLink, size: there?.size }
}

/** Whether a file is a model's content as of `limit`: not written to since then, or since its restore. */
function isOf({ size, mtime }: Stats, from: Model['from'], limit: Date): boolean {
  return from.some(
    ({ copy }) => copy.bytes === size && (mtime <= limit || mtime.getTime() === copy.time.getTime()),
  )
}

const item = items.find(({ name }) => name === 'models') as (typeof items)[number]

/** Which models this machine should have and where they come from, without unreachable sources. */
export async function modelsWanted({
  settings,
  sources,
  root,
  limit,
}: Pick<RestoreContext, 'settings' | 'sources' | 'root'> & {
  limit?: Date | undefined
}): Promise<ModelsWanted> {
  const capture = captureOf(item, settings)
  if (capture.kind !== 'models') throw new Error('models are files of their own')
  const shelves: ModelShelf[] = []
  for (const source of sources.filter(({ name }) => item.restore.includes(name))) {
    const { name } = source
    if ((await source.whyUnreachable('models')) !== undefined) continue
    if (name === 'sfs') {
      const here = modelsOnShare(settings)
      shelves.push({ name, store: directoryStore({ name, root: here }), folder: '', here })
    } else
      for (const environment of new Set([settings.environment, 'production'])) {
        const found = newestVerified(source.store('cache'), environment, settings.now ?? new Date())
        const verified = await found.catch(() => undefined)
        shelves.push({
          name,
          store: source.store('models'),
          folder: folderOf(item, environment),
          isBroken: (copy) => foundAmong(verified?.broken, 'models', copy) !== undefined,
        })
      }
  }
  return {
    shelves,
    target: below(root, capture.path),
    folders: capture.folders,
    extension: capture.extension,
    limit,
  }
}
