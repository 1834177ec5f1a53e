import { PassThrough, pipeline, Readable } from 'node:stream'
import { share } from '../blocks.ts'
import type { Digests } from './digests.ts'

/** One piece of a body: all parts of one upload have the same size, but for the last. */
export interface Part {
  /** From 1 on. */
  number: number
  last: boolean
  bytes: number
  /** The body's own buffers, which other stores may be sending too: nothing is copied, and nothing may be changed. */
  pieces: readonly Buffer[]
  /** Lower-case hex. */
  sha256: string
}

/**
 * Cuts a body into parts, in order, and adds all of it to `digests`. An empty body is one empty part. Memory is
 * bounded by the parts that are not yet let go: whoever wants fewer of them asks for the next one later.
 */
export async function* partsOf(
  body: Readable,
  partBytes: number,
  digests: Digests,
  signal: AbortSignal,
): AsyncGenerator<Part, undefined> {
  // A body that is silent cannot always be ended at once; what is read here can.
  const chunks = pipeline(body, new PassThrough({ objectMode: true, highWaterMark: 1 }), () => {})
  const stop = () => chunks.destroy(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  let pieces: Buffer[] = []
  let [start, position] = [0, 0]
  let number = 0

  let digest = digests.part(0, partBytes)

  function cut(last: boolean): Part {
    const part = { number: ++number, last, bytes: position - start, pieces, sha256: digest.hex() }
    pieces = []
    start = position
    digest = digests.part(start, partBytes)
    return part
  }

  try {
    for await (const chunk of chunks as AsyncIterable<Buffer>) {
      digests.whole.add(position, chunk)
      const ready: Part[] = []
      for (let taken = 0; taken < chunk.length; ) {
        // Cut only when more comes, so that the last part is known to be the last.
        if (position - start === partBytes) ready.push(cut(false))
        const piece = chunk.subarray(taken, taken + partBytes - (position - start))
        if (taken > 0) share(chunk, 1)
        digest.add(position, piece)
        pieces.push(piece)
        position += piece.length
        taken += piece.length
      }
      // Only now: whoever has a part may let it go at once, and with it what the chunk's other part is made of.
      yield* ready
    }
    yield cut(true)
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** The content of a part, for one request. */
export function bodyOf({ pieces }: Part): Readable {
  const body = new Readable({ read() {} })
  for (const piece of pieces) body.push(piece)
  body.push(null)
  return body
}
