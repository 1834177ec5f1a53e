/** Runs up to `width` jobs at once. The first failure ends the others; the next `add` or `done` throws it. */
export function pool(width: number) {
  const running = new Set<Promise<void>>()
  const stop = new AbortController()

  return {
    signal: stop.signal,

    /** Waits for a free place, then starts the job. */
    async add(job: () => Promise<void>): Promise<void> {
      while (running.size >= width) await Promise.race(running)
      stop.signal.throwIfAborted()
      const run = job()
        .catch((error) => stop.abort(error))
        .finally(() => running.delete(run))
      running.add(run)
    },

    async done(): Promise<void> {
      await Promise.all(running)
      stop.signal.throwIfAborted()
    },

    /** Aborts all jobs and waits until they end. */
    async cancel(reason: unknown): Promise<void> {
      stop.abort(reason)
      await Promise.all(running)
    },
  }
}

/** Waits until this many bytes may be sent. */
export type Limit = (bytes: number) => Promise<void>

/** One limit for all uploads of a process, in bytes per second. */
export function uploadLimit(bytesPerSecond: number): Limit {
  let free = 0
  return (bytes) => {
    const now = performance.now()
    const begin = Math.max(free, now)
    free = begin + (bytes / bytesPerSecond) * 1000
    return new Promise((resolve) => setTimeout(resolve, begin - now))
  }
}
