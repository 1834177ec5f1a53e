import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import * as v from 'valibot'
import { orNone, size, time } from '../../files/json.ts'
import { writeState } from '../../files/state.ts'
import type { Settings } from '../../settings/settings.ts'
import type { SeenModels, SeenShelf } from './seen.ts'

/** What this machine remembers: SFS when Verda last answered, and that Verda is off on purpose. */
export interface Memory {
  verdaOff?: Date
  sfs?: SeenShelf
  models?: SeenModels
}

/** One file for each set of places of status, in the folder for lasting state. */
export function memoryFile({ verdaSsh, sfs, environment }: Settings, folder: string): string {
  const scope = createHash('sha256')
    .update(JSON.stringify([verdaSsh, sfs.cache, environment]))
    .digest('hex')
  return path.join(folder, `status-${scope.slice(0, 12)}.json`)
}

/** Forgets what is unreadable: the memory is only a convenience. */
export async function recall(file: string): Promise<Memory> {
  try {
    const { sfs, ...rest } = v.parse(written, JSON.parse(await readFile(file, 'utf8')))
    return { ...rest, ...(sfs && { sfs: { ...sfs, store: 'sfs', state: 'seen' } }) }
  } catch {
    return {}
  }
}

/** Throws if it cannot be written. */
export async function remember(file: string, memory: Memory): Promise<void> {
  await writeState(file, `${JSON.stringify(memory)}\n`)
}

/** The saved share, all or nothing: half a listing would raise false alarms. */
const shelf = v.object({
  title: v.string(),
  at: time,
  files: v.array(v.object({ key: v.string(), bytes: size, modified: time, content: orNone(v.string()) })),
  texts: v.record(v.string(), v.string()),
  room: orNone(v.object({ freeBytes: size, totalBytes: size })),
  clockAheadSeconds: orNone(v.pipe(v.number(), v.maxValue(Number.MAX_SAFE_INTEGER))),
})
const models = v.object({
  where: v.string(),
  files: v.array(v.object({ path: v.string(), bytes: size })),
  problem: v.optional(v.string()),
  failures: v.optional(v.array(v.string())),
  warnings: v.optional(v.array(v.string())),
})
const written = v.object({ verdaOff: orNone(time), sfs: orNone(shelf), models: orNone(models) })
