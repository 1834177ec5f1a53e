import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { messageOf } from '../message.ts'
import { writeState } from '../state-folder.ts'
import { readTime } from '../time.ts'
import type { Archive } from './archives.ts'

/** What an archive was found to be, and what it looked like then. */
export interface Seen {
  /** ISO, UTC. */
  at: string
  status: 'good' | 'broken' | 'unverified'
  bytes: number
  /** ISO, UTC. */
  modified: string
  recorded: boolean
  sha256?: string
}

/** What this machine remembers of the verification of one store, so that the next run goes on where this one ends. */
export interface Memory {
  /** Undefined for an archive that was never verified, or is another one by now. */
  seen(archive: Archive): Seen | undefined
  note(archive: Archive, seen: Pick<Seen, 'at' | 'status' | 'sha256' | 'recorded'>): void
  /** Whether it is the one that the next run was to begin with. */
  isFirst(archive: Archive): boolean
  /** Lets the next run begin with it; without one, with none. */
  setFirst(archive?: Archive): void
  /** Forgets everything but these: the others are no longer there. */
  keepOnly(archives: readonly Archive[]): void
  /** Writes it down, as a whole or not at all. */
  save(): Promise<void>
}

/**
 * Opens the memory of the store at `place`, a text that no other store has; a file of JSON in `folder`. One that cannot be read
 * is begun anew: what is lost is only what need not be read again.
 */
export async function openMemory(
  folder: string,
  place: string,
  warn: (text: string) => void,
): Promise<Memory> {
  const name = createHash('sha256').update(place).digest('hex').slice(0, 12)
  const file = path.join(folder, `${place.split(' ')[0]}-${name}.json`)
  const loaded = await load(file).catch((error) => {
    warn(`what was verified before could not be read and is begun anew: ${file}: ${messageOf(error)}`)
    return none()
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
      // Another run may have written meanwhile: of what both know, the later counts.
      const theirs = await load(file).catch(() => undefined)
      for (const [id, seen] of theirs?.known ?? [])
        if (seen.at > (known.get(id)?.at ?? '')) known.set(id, seen)
      const archives = [...known].filter(([id]) => kept?.has(id) ?? true)
      await writeState(file, `${JSON.stringify({ place, first, archives: Object.fromEntries(archives) })}\n`)
    },
  }
}

function idOf({ bucket, key }: Archive): string {
  return `${bucket}/${key}`
}

interface Known {
  known: Map<string, Seen>
  first?: string
}

function none(): Known {
  return { known: new Map() }
}

async function load(file: string): Promise<Known> {
  const text = await readFile(file, 'utf8').catch((error) => {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return '{"archives":{}}'
    throw error
  })
  const { archives, first } = JSON.parse(text)
  const known = new Map(Object.entries(archives as Record<string, Seen>).filter(([, seen]) => isSeen(seen)))
  return { known, ...(typeof first === 'string' ? { first } : {}) }
}

function isSeen(seen: Partial<Seen> | null): boolean {
  return (
    typeof seen?.at === 'string' &&
    readTime(seen.at) !== undefined &&
    ['good', 'broken', 'unverified'].includes(seen.status ?? '') &&
    typeof seen.bytes === 'number' &&
    typeof seen.modified === 'string'
  )
}
