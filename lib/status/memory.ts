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
    if (sfs) memory.sfs = revive(sfs)
    if (models) memory.models = models
    return memory
  } catch {
    return {}
  }
}

/** Throws when it cannot be written. */
export async function remember(file: string, memory: Memory): Promise<void> {
  await writeState(file, `${JSON.stringify(memory)}\n`)
}

function revive(shelf: SeenShelf): SeenShelf {
  const files = shelf.files.map((file: SeenFile) => ({ ...file, modified: new Date(file.modified) }))
  return { ...shelf, at: new Date(shelf.at), files }
}
