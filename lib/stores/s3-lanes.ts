/**
 * Runs up to `width` jobs at once. The first failure is thrown by the next `add` or by `done`, and aborts `signal`,
 * which ends the other jobs.
 */
export function lanes(width: number) {
  const running = new Set<Promise<void>>()
  const stop = new AbortController()

  return {
    signal: stop.signal,

    /** Starts the job as soon as there is room for it. */
    async add(job: () => Promise<void>): Promise<void> {
      while (running.size >= width) await Promise.race(running)
      stop.signal.throwIfAborted()
      const run = job()
        .catch((error) => stop.abort(error))
        .finally(() => running.delete(run))
      running.add(run)
    },

    /** Waits for all of them. */
    async done(): Promise<void> {
      await Promise.all(running)
      stop.signal.throwIfAborted()
    },

    /** Ends all jobs and waits until they have ended. */
    async cancel(reason: unknown): Promise<void> {
      stop.abort(reason)
      await Promise.all(running)
    },
  }
}
