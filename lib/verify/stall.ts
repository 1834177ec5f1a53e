import { Readable } from 'node:stream'
import { StoreError } from '../stores/store.ts'
import { within } from '../within.ts'

/** Passes on what `source` gives. Throws StoreError when nothing comes for `seconds`, and then waits for nothing more of it. */
export async function* unlessStalled<T>(
  source: AsyncIterable<T>,
  what: string,
  seconds = 600,
): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]()
  const stalled = () => new StoreError(`${what}: nothing came for ${seconds} s: it hangs`)
  let open = true
  try {
    while (true) {
      const next = await within(seconds, iterator.next(), stalled)
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
