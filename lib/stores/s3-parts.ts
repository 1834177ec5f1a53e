import { createHash, type Hash } from 'node:crypto'
import { PassThrough, pipeline, type Readable } from 'node:stream'

/** One piece of a body: all parts of one upload have the same size, but for the last. */
export interface Part {
  /** From 1 on. */
  number: number
  last: boolean
  content: Buffer
  /** Lower-case hex. */
  sha256: string
  /** Gives the memory back; `content` must not be used after. */
  release(): void
}

/**
 * Cuts a body into parts, in order, and feeds `whole` with all of it. An empty body is one empty part. Memory is
 * bounded by the parts that are not yet released: whoever wants fewer of them asks for the next one later.
 */
export async function* partsOf(
  body: Readable,
  partBytes: number,
  whole: Hash,
  signal: AbortSignal,
): AsyncGenerator<Part, undefined> {
  // A body that is silent cannot always be ended at once; what is read here can.
  const bytes = pipeline(body, new PassThrough({ highWaterMark: 2 ** 20 }), () => {})
  const stop = () => bytes.destroy(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  let buffer = take(partBytes)
  let filled = 0
  let number = 0
  let hash = createHash('sha256')

  function cut(last: boolean): Part {
    const memory = buffer
    const content = memory.subarray(0, filled)
    const sha256 = hash.digest('hex')
    buffer = nothing
    filled = 0
    number += 1
    hash = createHash('sha256')
    return { number, last, content, sha256, release: () => give(memory) }
  }

  try {
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      whole.update(chunk)
      for (let taken = 0; taken < chunk.length; ) {
        // Cut only when more comes, so that the last part is known to be the last.
        if (filled === partBytes) {
          yield cut(false)
          buffer = take(partBytes)
        }
        const piece = chunk.subarray(taken, taken + partBytes - filled)
        piece.copy(buffer, filled)
        hash.update(piece)
        filled += piece.length
        taken += piece.length
      }
    }
    yield cut(true)
  } finally {
    signal.removeEventListener('abort', stop)
    if (buffer !== nothing) give(buffer)
  }
}

const nothing = Buffer.alloc(0)

/** Buffers of parts that are done, by size, for the next part of whichever upload. */
const spare = new Map<number, Buffer[]>()

function take(bytes: number): Buffer {
  return spare.get(bytes)?.pop() ?? Buffer.allocUnsafeSlow(bytes)
}

function give(buffer: Buffer): void {
  const buffers = spare.get(buffer.length) ?? []
  buffers.push(buffer)
  spare.set(buffer.length, buffers)
}
