import type { FileHandle } from 'node:fs/promises'

/** Bytes per write. Network chunks are only 64 KiB, too small for one write each. */
const batchBytes = 2 ** 20

export interface WriteOptions {
  /** Where to start in the file, in bytes. */
  at?: number
  /** Called before each chunk is written, with its offset in the file. */
  onChunk(chunk: Buffer, at: number): void
}

/**
 * Writes a body into a file and returns the end offset in bytes. Reads the next batch while one is written.
 * Throws errors of the body or the file, after everything received so far is written.
 */
export async function writeBody(
  file: FileHandle,
  body: AsyncIterable<Buffer>,
  { at = 0, onChunk }: WriteOptions,
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
    writing = writeChunks(file, chunks, from)
    // The next flush awaits it and sees its failure.
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
}

/** Drops the first `bytes` bytes of some chunks. */
function after(chunks: Buffer[], bytes: number): Buffer[] {
  let skipped = bytes
  return chunks.flatMap((chunk) => {
    const taken = Math.min(skipped, chunk.length)
    skipped -= taken
    return taken < chunk.length ? [chunk.subarray(taken)] : []
  })
}
