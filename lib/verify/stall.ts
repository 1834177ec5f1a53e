import { Readable } from 'node:stream'
import { StoreError } from '../stores/store.ts'

/** Passes on what `source` gives. Throws StoreError when nothing comes for `seconds`, and then waits for nothing more of it. */
export async function* unlessStalled<T>(
  source: AsyncIterable<T>,
  what: string,
  seconds = 600,
): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]()
  let open = true
  try {
    while (true) {
      const next = await within(iterator.next(), what, seconds)
      if (next.done) break
      yield next.value
    }
    open = false
  } finally {
    // Of a generator that waits, neither would come to an end; a stream lets go of its connection.
    if (open && source instanceof Readable) source.destroy()
    else if (open) void iterator.return?.().catch(() => {})
  }
}

async function within<T>(answer: Promise<T>, what: string, seconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new StoreError(`${what}: nothing came for ${seconds} s: it hangs`)),
      seconds * 1000,
    )
  })
  try {
    return await Promise.race([answer, stalled])
  } finally {
    clearTimeout(timer)
  }
}
