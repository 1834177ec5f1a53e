import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'

/** The SHA-256 of all that a stream brings, in lower-case hex. Throws what the stream fails with. */
export async function sha256Of(body: Readable): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of body) hash.update(chunk)
  return hash.digest('hex')
}
