import type { Readable } from 'node:stream'

/** How a script on a host ended. `exitCodes` are those of its last pipeline, first process first. */
export interface Outcome {
  exitCodes: number[]
  /** The last 64 KiB of standard error, without the lines that `onLine` took. */
  stderr: string
}

export interface RunResult extends Outcome {
  stdout: Buffer
}

export interface RunOptions {
  /** Seconds after which the script is ended and the call fails. None: no limit. */
  timeout?: number
  /** Given each line of standard error as it comes; a line for which it returns true is not kept. */
  onLine?: (line: string) => boolean
}

/**
 * A machine on which commands run and from which bytes come: this one, or one behind ssh.
 *
 * A script is bash, run with `pipefail` and `LC_ALL=C`; `args` are its `$1`, `$2`, … and reach it byte for byte,
 * whatever they hold. It runs as root: directly, or through `sudo -n`.
 */
export interface Host {
  /** `verda` or `mello`, for messages and records. */
  readonly name: string
  /** The folder under which this host's sources lie: `/`, or another one for drills. Never ends in `/` but for `/`. */
  readonly root: string
  /**
   * Runs a script to its end and returns what it printed. A non-zero exit is returned, not thrown. Throws HostError when the host cannot be reached, and when it
   * sends more than `mostAnswer` bytes.
   */
  run(script: string, args: string[], options?: RunOptions): Promise<RunResult>
  /**
   * The script's standard output. The stream ends only after every process of the script's last pipeline was heard of and
   * `judge` accepted the outcome by returning; what `judge` throws, and any loss of the host, destroys it with that error.
   */
  stream(script: string, args: string[], judge: (outcome: Outcome) => void, options?: RunOptions): Readable
  /** Ends the connection, if there is one. */
  close(): Promise<void>
}

/** More than any honest answer: the listing of a million files. What goes on for ever must not fill this machine's memory. */
export const mostAnswer = 128 * 2 ** 20

/** The host cannot be reached, or was lost half-way. The message says which, why, and what to do. */
export class HostError extends Error {
  override name = 'HostError'
}
