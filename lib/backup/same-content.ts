import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import * as v from 'valibot'
import type { Capture, Survey } from '../capture/capture.ts'
import type { KnownCopy } from '../copies.ts'
import { readJson } from '../files/json.ts'
import { writeState } from '../files/state.ts'
import { messageOf } from '../text.ts'
import type { JobContext } from './context.ts'

/**
 * Tells whether a copy has the sources' current content. A restore changes every inode and ctime: if only
 * these differ, reads the sources once without sending them, and compares digests.
 */
export function contentCheck(
  context: JobContext,
  capture: Capture,
  survey: Survey & { state: 'there' },
): (copy: KnownCopy) => Promise<boolean> {
  let digest: Promise<string | undefined> | undefined
  return async ({ record: { fingerprint, content, tar, increment } }) => {
    if (fingerprint === survey.fingerprint) return true
    // Its digest covers only changes; its list decides what to do.
    if (increment) return false
    if (tar === undefined || content === undefined || content !== survey.content) return false
    digest ??= digestNow(context, capture, survey.fingerprint)
    return (await digest) === tar
  }
}

/** From an earlier reading, or reads now. Undefined if unreadable: the capture then reports why. */
async function digestNow(context: JobContext, capture: Capture, fingerprint: string) {
  const memory = memoryOf(context, 'content', remembered)
  const known = await memory.read()
  if (known && known.fingerprint === fingerprint) return known.tar
  context.emit({ kind: 'doing', text: 'reading it, to compare it with the newest copy' })
  const tar = await capture.digest?.().catch(() => undefined)
  if (tar !== undefined) await memory.write({ fingerprint, tar })
  return tar
}

const remembered = v.object({ fingerprint: v.string(), tar: v.string() })

/** What this machine keeps of an item's readings. If it is lost, the next run has to read more. */
export function memoryOf<const Schema extends v.GenericSchema>(
  { state, plan, job, on, emit }: JobContext,
  kind: string,
  schema: Schema,
) {
  // One machine may back up several hosts, environments and, in drills, roots.
  const place = createHash('sha256').update(`${plan.environment} ${on.name} ${on.root}`).digest('hex')
  const file = state && path.join(state, `${kind}-${job.item}-${place.slice(0, 12)}.json`)
  return {
    read: async () => readJson(schema, file ? await readFile(file, 'utf8').catch(() => '') : ''),
    async write(value: v.InferOutput<Schema>): Promise<void> {
      if (!file) return
      await writeState(file, `${JSON.stringify(value)}\n`).catch((error) =>
        emit({
          kind: 'warning',
          text: `${job.item}: the next run has to read more, because this cannot be written: ${file}: ${messageOf(error)}`,
        }),
      )
    },
  }
}
