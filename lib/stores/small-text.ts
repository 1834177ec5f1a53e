import type { AppendOnlyStore } from './store.ts'

/** More than any record or run report has. */
const most = 16 * 2 ** 20

/**
 * The text under a key, cut at 16 MiB: what is longer is no record, and must not fill the memory of whoever takes it for one. Throws as `open` does.
 */
export async function readSmall(store: Pick<AppendOnlyStore, 'open'>, key: string): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of await store.open(key)) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > most) break
  }
  return Buffer.concat(chunks).subarray(0, most).toString()
}
