import { Readable } from 'node:stream'
import { share } from './blocks.ts'

/** What a branch is asked when the source has ended: it throws where the content must not be stored there. */
export type Admit = (bytes: number) => void

/**
 * Reads `source` once and gives its bytes to a Readable for each of `admits`, at the pace of the slowest. Each ends only when the
 * source ended and its `admit` returned. One whose reader fails is left behind and the others go on; an error of the source
 * destroys them all with that error; when all are gone the source is destroyed.
 *
 * `stallSeconds`: a reader that takes nothing for so long is given up, so that a hanging store holds up no other.
 */
export function fanOut(
  source: Readable,
  admits: readonly Admit[],
  onBytes: (bytes: number) => void = () => {},
  stallSeconds = 600,
): Readable[] {
  const branches = admits.map((admit) => new Branch(admit, stallSeconds))
  void pump(source, branches, onBytes)
  return branches.map((branch) => branch.body)
}

async function pump(source: Readable, branches: Branch[], onBytes: (bytes: number) => void): Promise<void> {
  let bytes = 0
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      bytes += chunk.length
      onBytes(chunk.length)
      const open = branches.filter((branch) => !branch.body.destroyed)
      if (open.length === 0) break
      share(chunk, open.length - 1)
      const waits = open.map((branch) => branch.offer(chunk)).filter((wait) => wait !== undefined)
      if (waits.length > 0) await Promise.all(waits)
    }
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
      // Each chunk is handed on as it is: those that wait are not put together, which would copy them.
      objectMode: true,
      highWaterMark: 4,
      read: () => this.#wake(),
      destroy: (error, done) => {
        this.#wake()
        done(error)
      },
    })
    // A branch may fail before its store listens; the store sees the error all the same.
    this.body.on('error', () => {})
  }

  /** Resolves when the branch can take more; undefined when it can at once. */
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
