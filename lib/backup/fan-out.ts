import { Readable } from 'node:stream'

/** Called for a branch when the source has ended: throws if the content must not be stored there. */
export type Admit = (bytes: number) => void

export interface FanOutOptions {
  /** Called when the source has ended; if it throws, no store keeps the content. */
  atEnd?: () => Promise<void>
  /** A reader idle for this long is dropped, so a hanging store does not block the others. */
  stallSeconds?: number
}

/**
 * Reads `source` once into a Readable for each of `admits`, at the pace of the slowest. Each ends only after
 * the source ended and its `admit` returned. A failed reader is dropped; a source error destroys all branches
 * with that error; when all branches are gone, the source is destroyed.
 */
export function fanOut(
  source: Readable,
  admits: readonly Admit[],
  { atEnd = async () => {}, stallSeconds = 600 }: FanOutOptions = {},
): Readable[] {
  const branches = admits.map((admit) => new Branch(admit, stallSeconds))
  void pump(source, branches, atEnd)
  return branches.map((branch) => branch.body)
}

async function pump(source: Readable, branches: Branch[], atEnd: () => Promise<void>): Promise<void> {
  let bytes = 0
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      bytes += chunk.length
      const open = branches.filter((branch) => !branch.body.destroyed)
      if (open.length === 0) break
      const waits = open.map((branch) => branch.offer(chunk)).filter((wait) => wait !== undefined)
      if (waits.length > 0) await Promise.all(waits)
    }
    await atEnd()
  } catch (error) {
    for (const branch of branches) branch.body.destroy(error as Error)
    return
  }
  for (const branch of branches) branch.end(bytes)
}

class Branch {
  #ready: (() => void) | undefined
  readonly body: Readable

  constructor(
    readonly admit: Admit,
    readonly stallSeconds: number,
  ) {
    this.body = new Readable({
      // Passes each chunk on as it is: joining waiting chunks would copy them.
      objectMode: true,
      highWaterMark: 4,
      read: () => this.#wake(),
      destroy: (error, done) => {
        this.#wake()
        done(error)
      },
    })
    // A branch may fail before its store listens; the store still sees the error.
    this.body.on('error', () => {})
  }

  /** Resolves when the branch can take more; undefined if it can now. */
  offer(chunk: Buffer): Promise<void> | undefined {
    if (this.body.push(chunk)) return undefined
    return new Promise((resolve) => {
      const timer = setTimeout(
        () => this.body.destroy(new Error(`took no data for ${this.stallSeconds} s: it hangs`)),
        this.stallSeconds * 1000,
      )
      this.#ready = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  end(bytes: number): void {
    if (this.body.destroyed) return
    try {
      this.admit(bytes)
      this.body.push(null)
    } catch (error) {
      this.body.destroy(error as Error)
    }
  }

  #wake(): void {
    this.#ready?.()
    this.#ready = undefined
  }
}
