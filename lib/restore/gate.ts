import { createHash } from 'node:crypto'
import { messageOf } from '../message.ts'
import type { ArchiveRecord } from '../record.ts'
import { BadArchive } from './bad-archive.ts'

/**
 * Passes an archive's bytes on, but keeps the last of them until its digest is known to be the record's: whoever reads them cannot have seen the end of an archive that is
 * not what it should be. Throws BadArchive. Without a record nothing is kept back for long, and the reader's own checks have to do.
 */
export async function* gate(
  source: AsyncIterable<Buffer>,
  record: ArchiveRecord | undefined,
  seen: { bytes: number; sha256: string },
  onBytes: (bytes: number) => void = () => {},
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  let held: Buffer = Buffer.alloc(0)
  try {
    for await (const chunk of source) {
      hash.update(chunk)
      seen.bytes += chunk.length
      onBytes(chunk.length)
      if (chunk.length >= kept) {
        yield held
        yield chunk.subarray(0, chunk.length - kept)
        held = chunk.subarray(chunk.length - kept)
      } else {
        held = Buffer.concat([held, chunk])
        yield held.subarray(0, Math.max(0, held.length - kept))
        held = held.subarray(Math.max(0, held.length - kept))
      }
    }
  } catch (error) {
    throw new BadArchive(`it could not be read to its end: ${messageOf(error)}`, { cause: error })
  }
  seen.sha256 = hash.digest('hex')
  if (record !== undefined && record.sha256 !== seen.sha256) {
    const size =
      record.bytes === undefined || record.bytes === seen.bytes
        ? ''
        : ` and ${seen.bytes} bytes of ${record.bytes}`
    throw new BadArchive(
      `it is not what its record says: sha256 ${seen.sha256.slice(0, 12)}… for ${record.sha256.slice(0, 12)}…${size}`,
    )
  }
  yield held
}

/** Bytes of the end of an archive: more than the end of a gzip stream takes. */
const kept = 64 * 1024
