/** In bytes. What a script prints is handed on in pieces of about this size: what hashes, writes and sends them has few of them. */
const blockBytes = 2 ** 20

/** So many are kept for the next reading: what two uploads of archives hold at once. */
const mostSpare = 128

const spare: Buffer[] = []
const readers = new WeakMap<ArrayBufferLike, number>()

/**
 * A block of memory that was used before, or a new one. To allocate a gigabyte a second keeps the garbage collector and the kernel busier than the work on it. It has one
 * reader, who may let it go; where a reader never does, the block is the garbage collector's, as any other memory.
 */
export function takeBlock(): Buffer {
  const block = spare.pop() ?? Buffer.allocUnsafeSlow(blockBytes)
  readers.set(block.buffer, 1)
  return block
}

/** Bytes are given to so many more readers. For memory that is no block nothing is done. */
export function share(bytes: Buffer, more: number): void {
  const count = readers.get(bytes.buffer)
  if (count !== undefined) readers.set(bytes.buffer, count + more)
}

/** To be called once by each reader, for each piece that it was given, when neither it nor anybody that it gave them to looks at them any more: after the last reader their memory is filled anew. */
export function letGo(pieces: readonly Buffer[]): void {
  for (const { buffer } of pieces) {
    const count = readers.get(buffer)
    if (count === undefined) continue
    if (count > 1) readers.set(buffer, count - 1)
    else {
      readers.delete(buffer)
      if (spare.length < mostSpare) spare.push(Buffer.from(buffer))
    }
  }
}
