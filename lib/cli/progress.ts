import ora, { type Ora } from 'ora'
import { bytesInWords, secondsInWords } from './words.ts'

/** A spinner for what is under way, with bytes, rate and, where the end is known, the time left; silent where there is no terminal. */
export class Progress {
  #spinner: Ora
  #title = ''
  #bytes = 0
  #expected = 0
  #since = 0

  /** Undefined unless the stream is a terminal that knows its width: a serial console says 0 columns, and ora would wipe out lines without end. */
  static on(stream: NodeJS.WriteStream): Progress | undefined {
    return stream.isTTY && stream.columns > 0 ? new Progress(stream) : undefined
  }

  constructor(stream: NodeJS.WriteStream) {
    this.#spinner = ora({ stream, discardStdin: false })
  }

  start(title: string): void {
    this.#title = title
    this.#bytes = 0
    this.#expected = 0
    this.#since = Date.now()
    this.#spinner.start(title)
  }

  expect(bytes: number): void {
    this.#expected = bytes
    this.#since = Date.now()
  }

  add(bytes: number): void {
    this.#bytes += bytes
    const seconds = (Date.now() - this.#since) / 1000
    if (seconds > 0)
      this.#spinner.text = `${this.#title}: ${progressInWords(this.#bytes, this.#expected, seconds)}`
  }

  /** Goes on after a line was printed. */
  resume(): void {
    this.#spinner.start()
  }

  stop(): void {
    this.#spinner.stop()
  }
}

/** `1.2 GB of 4.0 GB, 210 MB/s, 13 s left`; without an expected size, bytes and rate alone. */
export function progressInWords(bytes: number, expected: number, seconds: number): string {
  const rate = bytes / seconds
  const done = `${bytesInWords(bytes)}${expected > 0 ? ` of ${bytesInWords(expected)}` : ''}, ${bytesInWords(Math.round(rate))}/s`
  return expected > bytes && rate > 0 ? `${done}, ${secondsInWords((expected - bytes) / rate)} left` : done
}
