import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { Settings } from '../settings.ts'
import { writeState } from '../state-folder.ts'
import { readTime } from '../time.ts'
import type { SeenFile, SeenModels, SeenShelf } from './seen.ts'

/** What this machine remembers between two looks: how SFS was when Verda last answered, and that Verda is off on purpose. */
export interface Memory {
  verdaOff?: Date
  sfs?: SeenShelf
  models?: SeenModels
}

/** One file for each set of places that status looks at, in the folder of what must outlive a run. */
export function memoryFile({ verdaSsh, sfs, environment }: Settings, folder: string): string {
  const scope = createHash('sha256')
    .update(JSON.stringify([verdaSsh, sfs.cache, environment]))
    .digest('hex')
  return path.join(folder, `status-${scope.slice(0, 12)}.json`)
}

/** What cannot be read is forgotten: it is a convenience, and nothing rests on it. */
export async function recall(file: string): Promise<Memory> {
  try {
    const { verdaOff, sfs, models } = JSON.parse(await readFile(file, 'utf8'))
    const memory: Memory = {}
    const since = typeof verdaOff === 'string' ? readTime(verdaOff) : undefined
    if (since) memory.verdaOff = since
    const shelf = readShelf(sfs)
    if (shelf) memory.sfs = shelf
    if (isModels(models)) memory.models = models
    return memory
  } catch {
    return {}
  }
}

/** Throws when it cannot be written. */
export async function remember(file: string, memory: Memory): Promise<void> {
  await writeState(file, `${JSON.stringify(memory)}\n`)
}

/** The share as it was written down; undefined when any of it is not as it should be: half a listing would raise false alarms. */
function readShelf(value: unknown): SeenShelf | undefined {
  const { title, at, files, texts, room, clockAheadSeconds } = fieldsOf(value)
  const time = timeOf(at)
  const found = Array.isArray(files) ? files.map(readFileSeen) : [undefined]
  if (typeof title !== 'string' || time === undefined || !found.every((file) => file !== undefined))
    return undefined
  if (!isObject(texts) || !Object.values(texts).every((text) => typeof text === 'string')) return undefined
  return {
    store: 'sfs',
    title,
    state: 'seen',
    at: time,
    files: found,
    texts: texts as Record<string, string>,
    ...(isRoom(room) && { room }),
    ...(isSize(clockAheadSeconds, Number.NEGATIVE_INFINITY) && { clockAheadSeconds }),
  }
}

function readFileSeen(value: unknown): SeenFile | undefined {
  const { key, bytes, modified, content } = fieldsOf(value)
  const time = timeOf(modified)
  if (typeof key !== 'string' || !isSize(bytes) || time === undefined) return undefined
  return { key, bytes, modified: time, ...(typeof content === 'string' && { content }) }
}

function isModels(value: unknown): value is SeenModels {
  const { where, files, problem } = fieldsOf(value)
  return (
    typeof where === 'string' &&
    (problem === undefined || typeof problem === 'string') &&
    Array.isArray(files) &&
    files.map(fieldsOf).every(({ path: file, bytes }) => typeof file === 'string' && isSize(bytes))
  )
}

function isRoom(value: unknown): value is NonNullable<SeenShelf['room']> {
  const { freeBytes, totalBytes } = fieldsOf(value)
  return isSize(freeBytes) && isSize(totalBytes)
}

function isSize(value: unknown, least = 0): value is number {
  return typeof value === 'number' && value >= least && value <= Number.MAX_SAFE_INTEGER
}

function timeOf(value: unknown): Date | undefined {
  return typeof value === 'string' ? readTime(value) : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {}
}
