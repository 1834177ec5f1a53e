import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import * as v from 'valibot'
import { orNone, timeText } from '../files/json.ts'
import { writeState } from '../files/state.ts'
import type { StoreName } from '../inventory.ts'
import type { Settings } from '../settings/settings.ts'
import { messageOf } from '../text.ts'
import type { Archive } from './survey.ts'

/** The result of checking an archive, and its size and time then. */
export type Seen = v.InferOutput<typeof seen>

/** What this machine remembers of verifying a store, so that the next run continues where this one ends. */
export interface Memory {
  /** Undefined for an archive that was never verified or has changed since. */
  seen(archive: Pick<Archive, 'bucket' | 'key' | 'bytes' | 'modified' | 'recorded'>): Seen | undefined
  note(archive: Archive, seen: Pick<Seen, 'at' | 'status' | 'sha256' | 'recorded' | 'reason'>): void
  /** Whether the next run was to start with it. */
  isFirst(archive: Archive): boolean
  /** Makes the next run start with it; without one, in the usual order. */
  setFirst(archive?: Archive): void
  /** Forgets all others, which no longer exist. */
  keepOnly(archives: readonly Archive[]): void
  /** Saves it atomically. */
  save(): Promise<void>
}

/** Opens a store's memory, a JSON file in `folder`. An unreadable one starts over: it only saves reading. */
export async function openMemory(
  folder: string,
  store: StoreName,
  settings: Settings,
  warn: (text: string) => void,
): Promise<Memory> {
  const place = placeOf(store, settings)
  const name = createHash('sha256').update(place).digest('hex').slice(0, 12)
  const file = path.join(folder, `${store}-${name}.json`)
  const loaded = await load(file).catch((error) => {
    warn(`what was verified before could not be read and is started over: ${file}: ${messageOf(error)}`)
    return { known: new Map() } as Known
  })
  const { known } = loaded
  let { first } = loaded
  let kept: Set<string> | undefined
  return {
    seen(archive) {
      const seen = known.get(idOf(archive))
      const same =
        seen?.bytes === archive.bytes &&
        seen?.modified === archive.modified?.toISOString() &&
        seen?.recorded === archive.recorded
      return same ? seen : undefined
    },
    note(archive, seen) {
      if (archive.bytes === undefined || archive.modified === undefined) known.delete(idOf(archive))
      else
        known.set(idOf(archive), {
          ...seen,
          bytes: archive.bytes,
          modified: archive.modified.toISOString(),
        })
    },
    isFirst: (archive) => idOf(archive) === first,
    setFirst(archive) {
      first = archive && idOf(archive)
    },
    keepOnly(archives) {
      kept = new Set(archives.map(idOf))
    },
    async save() {
      // Another run may have saved meanwhile: for archives that both know, the later result counts.
      const theirs = await load(file).catch(() => undefined)
      for (const [id, seen] of theirs?.known ?? [])
        if (seen.at > (known.get(id)?.at ?? '')) known.set(id, seen)
      const archives = [...known].filter(([id]) => kept?.has(id) ?? true)
      await writeState(file, `${JSON.stringify({ place, first, archives: Object.fromEntries(archives) })}\n`)
    },
  }
}

/** A text unique to this store: machines and drills may have several with one name. */
function placeOf(name: StoreName, { environment, sfs, melloBackups, r2, hetzner }: Settings): string {
  const objects = (access: typeof r2) => JSON.stringify([access?.endpoint, access?.buckets])
  const where = { sfs: sfs.cache, mello: melloBackups, r2: objects(r2), hetzner: objects(hetzner) }
  return `${name} ${environment} ${where[name]}`
}

function idOf({ bucket, key }: Pick<Archive, 'bucket' | 'key'>): string {
  return `${bucket}/${key}`
}

interface Known {
  known: Map<string, Seen>
  first?: string | undefined
}

/** Skips invalid entries. Throws for a file that is not ours. */
async function load(file: string): Promise<Known> {
  const text = await readFile(file, 'utf8').catch((error) => {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return '{"archives":{}}'
    throw error
  })
  const { archives, first } = v.parse(v.pipe(v.string(), v.parseJson(), written), text)
  const known = Object.entries(archives).filter((entry): entry is [string, Seen] => entry[1] !== undefined)
  return { known: new Map(known), first }
}

const seen = v.object({
  /** When it was checked. */
  at: timeText,
  status: v.picklist(['good', 'broken', 'unverified']),
  bytes: v.number(),
  modified: v.string(),
  recorded: v.boolean(),
  sha256: orNone(v.string()),
  /** Why it is broken. */
  reason: orNone(v.string()),
})
const written = v.object({
  first: orNone(v.string()),
  archives: v.record(v.string(), orNone(seen)),
})
