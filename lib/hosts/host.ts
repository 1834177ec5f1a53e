import type { Readable } from 'node:stream'

/** Seconds. What only asks a machine something answers fast or never; a busy machine is slow. */
export const commandSeconds = 60

/** How a script on a host ended. `exitCodes` are those of its last pipeline, in order. */
export interface Outcome {
  exitCodes: number[]
  /** The last 64 KiB of standard error, without the lines that `onLine` took. */
  stderr: string
}

export interface RunResult extends Outcome {
  stdout: Buffer
}

export interface CommandResult {
  /** The exit code of the last process in the pipeline that failed, or 0. */
  exitCode: number
  stdout: string
  stderr: string
}

export interface RunOptions {
  /** Seconds until the script is killed and the call fails. Default: no limit. */
  timeout?: number
  /** Called for each line of standard error. Return true to drop the line. */
  onLine?: (line: string) => boolean
  /** Asked from time to time while the script gives nothing. The error that it returns ends the script. */
  whySilent?: () => Promise<Error | undefined>
  /** Input on the descriptor `$comfyume_input`. The script must read all of it. */
  input?: Buffer
}

/**
 * A machine that runs commands and sends bytes: this one, or one behind ssh. A script is bash with `pipefail`
 * and `LC_ALL=C`. It gets `args` as `$1`, `$2` and so on, byte for byte. It runs as root, if needed through
 * `sudo -n`.
 */
export interface Host {
  /** `verda` or `mello`, for messages and records. */
  readonly name: string
  /** The folder that holds this host's sources: `/`, or another one for drills. No slash at its end. */
  readonly root: string
  /**
   * Runs a script to its end and returns its output and exit codes. Throws HostError when the host cannot be
   * reached or sends more than `mostAnswer` bytes.
   */
  run(script: string, args: string[], options?: RunOptions): Promise<RunResult>
  /**
   * Runs one command line like zx's `$`: values are quoted, a list becomes several words. A failure is
   * returned. Throws HostError, also when there is no answer within a minute.
   */
  $(pieces: TemplateStringsArray, ...values: (string | readonly string[])[]): Promise<CommandResult>
  /**
   * The script's standard output. Ends only after all exit codes arrived and `judge` returned. An error from
   * `judge`, a lost host, or an hour in which the script gives nothing destroys the stream.
   */
  stream(script: string, args: string[], judge: (outcome: Outcome) => void, options?: RunOptions): Readable
  close(): Promise<void>
}

/** In bytes. More than a listing of a million files, and a limit for an answer that never ends. */
export const mostAnswer = 128 * 2 ** 20

/** The host cannot be reached or was lost. The message says which host, why, and what to do. */
export class HostError extends Error {
  override name = 'HostError'
}
