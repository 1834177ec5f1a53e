import ora, { type Ora } from 'ora'
import { bytesInWords, secondsInWords } from '../text.ts'

/** A spinner with bytes, rate and, if the size is known, time left. Silent without a terminal. */
export class Progress {
  #spinner: Ora
  #title = ''
  #bytes = 0
  #expected = 0
  #about = false
  #since = 0

  /** Undefined without a terminal. A terminal of 0 columns would make the spinner clear lines forever. */
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

  expect(bytes: number, about = false): void {
    this.#bytes = 0
    this.#expected = bytes
    this.#about = about
    this.#since = Date.now()
  }

  add(bytes: number): void {
    this.#bytes += bytes
    const seconds = (Date.now() - this.#since) / 1000
    if (seconds > 0)
      this.#spinner.text = `${this.#title}: ${progressInWords(this.#bytes, this.#expected, seconds, this.#about)}`
  }

  /** What runs now, without a count. */
  doing(text: string): void {
    this.#spinner.text = `${this.#title}: ${text}`
  }

  /** Changes the label and continues the byte count. */
  title(title: string): void {
    this.#title = title
  }

  /** Continues after a line was printed. */
  resume(): void {
    this.#spinner.start()
  }

  stop(): void {
    this.#spinner.stop()
  }
}

/** `1.2 GB of about 4.0 GB, 210 MB/s, 13 s left`. Without an expected size, only bytes and rate. */
export function progressInWords(bytes: number, expected: number, seconds: number, about = false): string {
  const rate = bytes / seconds
  const done = `${bytesInWords(bytes)}${expected > 0 ? ` of ${about ? 'about ' : ''}${bytesInWords(expected)}` : ''}, ${bytesInWords(Math.round(rate))}/s`
  return expected > bytes && rate > 0 ? `${done}, ${secondsInWords((expected - bytes) / rate)} left` : done
}
