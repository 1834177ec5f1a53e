import type { AppendOnlyStore } from './store.ts'

/** More than any record or report has: one that names a hundred thousand files that changed has half of it. */
export const mostSmallBytes = 16 * 2 ** 20

/**
 * The text of a record or a report. Undefined for one that is larger than any of ours: whoever may write to the store could fill the memory of everybody who lists it.
 * Throws NoSuchKey.
 */
export async function smallText(store: AppendOnlyStore, key: string): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  // Leaving the loop closes the file, or the connection.
  for await (const chunk of await store.open(key)) {
    bytes += chunk.length
    if (bytes > mostSmallBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
