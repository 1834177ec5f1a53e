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
  const file = context.state && path.join(context.state, `content-${nameOf(context)}.json`)
  const known = file && readJson(remembered, await readFile(file, 'utf8').catch(() => ''))
  if (known && known.fingerprint === fingerprint) return known.tar
  context.emit({ kind: 'doing', text: 'reading it, to compare it with the newest copy' })
  const tar = await capture.digest?.().catch(() => undefined)
  if (file && tar !== undefined)
    await writeState(file, `${JSON.stringify({ fingerprint, tar })}\n`).catch((error) =>
      context.emit({
        kind: 'warning',
        text: `${context.job.item}: the next run reads it again, because this cannot be written: ${file}: ${messageOf(error)}`,
      }),
    )
  return tar
}

const remembered = v.object({ fingerprint: v.string(), tar: v.string() })

/** One machine may back up several hosts, environments and, in drills, roots. */
export function nameOf({ plan, job, on }: JobContext): string {
  const place = createHash('sha256').update(`${plan.environment} ${on.name} ${on.root}`).digest('hex')
  return `${job.item}-${place.slice(0, 12)}`
}
