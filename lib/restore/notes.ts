import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { filesCapture } from '../capture/files.ts'
import type { Source } from '../inventory.ts'
import type { Offer } from '../restore-order.ts'
import { below, makePrivateFolder, type Site } from './site.ts'

/** What was restored of an item, and what its files looked like right after. */
interface Note {
  key: string
  sha256: string
  fingerprint: string
}

const folder = '/var/lib/comfyume-backup/restored'

/** What the restored thing looks like now; undefined when it is not there. */
type Look = () => Promise<string | undefined>

/**
 * Whether an item was restored from this very copy and nothing of it has changed since. A drill takes no notes: its folder holds nothing but what was
 * restored.
 */
export async function isBack(site: Site, item: string, { key, record }: Offer, look: Look): Promise<boolean> {
  if (site.drill) return false
  const note = await readNote(site, item)
  const same = record ? note?.sha256 === record.sha256 : note?.key === key
  return note !== undefined && same && note.fingerprint === (await look())
}

export async function takeNote(
  site: Site,
  item: string,
  { key, sha256 }: { key: string; sha256: string },
  look: Look,
): Promise<void> {
  if (site.drill) return
  const fingerprint = await look()
  if (fingerprint === undefined) return
  const file = noteFile(site, item)
  await makePrivateFolder(path.dirname(file), site.root)
  await writeFile(file, `${JSON.stringify({ key, sha256, fingerprint } satisfies Note)}\n`, { mode: 0o600 })
}

/** The look of files: that of a backup's own survey. */
export function lookOf({ host }: Site, sources: readonly Source[]): Look {
  return async () => {
    // A fingerprint taken within the tick of a change equals no other.
    await sleep(50)
    const survey = await filesCapture(host, sources)
      .survey()
      .catch(() => undefined)
    return survey?.state === 'there' ? survey.fingerprint : undefined
  }
}

async function readNote(site: Site, item: string): Promise<Note | undefined> {
  try {
    return JSON.parse(await readFile(noteFile(site, item), 'utf8')) as Note
  } catch {
    return undefined
  }
}

function noteFile({ root }: Site, item: string): string {
  return below(root, `${folder}/${item}.json`)
}
