import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'

/** One SHA-256 for several readers of the same bytes: each byte is hashed once. */
export interface Digest {
  /** Each reader adds all its bytes, in order. `from`: the offset of `bytes` in the content. */
  add(from: number, bytes: Buffer): void
  /** Lower-case hex of everything added. Call `add` no more after this. */
  hex(): string
}

/** The digests of one content that goes to several stores at once. */
export interface Digests {
  whole: Digest
  /** The part of `partBytes` bytes that starts at offset `from`. */
  part(from: number, partBytes: number): Digest
}

export function makeDigests(): Digests {
  const parts = new Map<string, Digest>()
  return {
    whole: makeDigest(0),
    part(from, partBytes) {
      const name = `${from}/${partBytes}`
      const part = parts.get(name) ?? makeDigest(from)
      parts.set(name, part)
      return part
    },
  }
}

function makeDigest(start: number): Digest {
  const hash = createHash('sha256')
  let hashed = start
  let hex: string | undefined
  return {
    add(from, bytes) {
      const end = from + bytes.length
      if (end <= hashed) return
      hash.update(from === hashed ? bytes : bytes.subarray(hashed - from))
      hashed = end
    },
    hex() {
      hex ??= hash.digest('hex')
      return hex
    },
  }
}

/** The SHA-256 of a stream, in lower-case hex. Rethrows the stream's error. */
export async function sha256Of(body: Readable): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of body) hash.update(chunk)
  return hash.digest('hex')
}
