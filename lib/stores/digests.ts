import { createHash } from 'node:crypto'

/** The SHA-256 of one content, and of its parts, in lower-case hex: made once, however many stores take that content in. */
export interface Digests {
  /** To be given all of the content, in order, by each who takes it in. `from`: where in the content these bytes begin. */
  add(from: number, bytes: Buffer): void
  /** Of all that was added; nothing can be added to it any more. */
  whole(): string
  /** Of the part that begins at `from` and consists of these pieces. */
  part(from: number, pieces: readonly Buffer[]): string
}

/** What one of several readers of the same content has hashed, the others do not hash again. */
export function makeDigests(): Digests {
  const hash = createHash('sha256')
  const parts = new Map<string, string>()
  let hashed = 0
  let whole: string | undefined
  return {
    add(from, bytes) {
      const end = from + bytes.length
      if (end <= hashed) return
      hash.update(from === hashed ? bytes : bytes.subarray(hashed - from))
      hashed = end
    },
    whole() {
      whole ??= hash.digest('hex')
      return whole
    },
    part(from, pieces) {
      const name = `${from}+${lengthOf(pieces)}`
      const sha256 = parts.get(name) ?? digest('sha256', pieces).toString('hex')
      parts.set(name, sha256)
      return sha256
    },
  }
}

export function digest(algorithm: 'sha256' | 'md5', pieces: readonly Buffer[]): Buffer {
  const hash = createHash(algorithm)
  for (const piece of pieces) hash.update(piece)
  return hash.digest()
}

function lengthOf(pieces: readonly Buffer[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0)
}
