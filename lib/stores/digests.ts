import { createHash } from 'node:crypto'

/** A SHA-256 that several readers of the same bytes make together: what one of them has hashed, the others do not hash again. */
export interface Digest {
  /** To be given all bytes, in order, by each reader, when they come to it: they may be gone later. `from`: where in the content these begin. */
  add(from: number, bytes: Buffer): void
  /** Of all that was added, in lower-case hex. Nothing can be added any more. */
  hex(): string
}

/** Of one content that several stores take in, and of its parts. */
export interface Digests {
  whole: Digest
  /** Of the part that begins at `from`, where parts have so many bytes. */
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
