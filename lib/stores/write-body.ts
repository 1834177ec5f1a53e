import type { FileHandle } from 'node:fs/promises'
import { letGo } from '../blocks.ts'

/** So much is gathered before it is written: a network brings pieces of 64 KiB, each of which would be a call of its own. In bytes. */
const batchBytes = 2 ** 20

export interface WriteOptions {
  /** Where in the file to begin, in bytes. */
  at?: number
  /** Given each piece as it comes, and where in the file it begins, before it is written. */
  onChunk(chunk: Buffer, at: number): void
  /** Given the offset up to which everything is written. */
  onWritten?(upTo: number): void
}

/**
 * Writes a body into a file: one batch is on its way to the disk while the next one comes and is looked at. Returns where it ended, in bytes. Throws
 * what the body or the file throws; what had come before is written then, and nothing is on its way any more.
 */
export async function writeBody(
  file: FileHandle,
  body: AsyncIterable<Buffer>,
  { at = 0, onChunk, onWritten = () => {} }: WriteOptions,
): Promise<number> {
  let batch: Buffer[] = []
  let end = at
  let started = at
  let writing: Promise<void> | undefined

  async function flush(): Promise<void> {
    await writing
    const [chunks, from] = [batch, started]
    batch = []
    started = end
    const upTo = end
    writing = writeChunks(file, chunks, from).then(() => onWritten(upTo))
    // Whether it could be written is asked when the next one is.
    writing.catch(() => {})
  }

  try {
    for await (const chunk of body) {
      onChunk(chunk, end)
      batch.push(chunk)
      end += chunk.length
      if (end - started >= batchBytes) await flush()
    }
  } finally {
    await flush().catch(() => {})
    await writing?.catch(() => {})
  }
  await writing
  return end
}

async function writeChunks(file: FileHandle, chunks: Buffer[], at: number): Promise<void> {
  let left = chunks.filter(({ length }) => length > 0)
  while (left.length > 0) {
    const { bytesWritten } = await file.writev(left, at)
    at += bytesWritten
    left = after(left, bytesWritten)
  }
  letGo(chunks)
}

/** What is left of some chunks behind their first `bytes`. */
function after(chunks: Buffer[], bytes: number): Buffer[] {
  let skipped = bytes
  return chunks.flatMap((chunk) => {
    const taken = Math.min(skipped, chunk.length)
    skipped -= taken
    return taken < chunk.length ? [chunk.subarray(taken)] : []
  })
}
