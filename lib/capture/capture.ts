import type { Readable } from 'node:stream'
import type { SourceSize, Warning } from '../acceptance.ts'
import type { Outcome } from '../hosts/host.ts'
import { printable, runAgain } from '../text.ts'
import type { Entry } from './list.ts'

/** The state of a capture's sources, without reading their content. */
export type Survey =
  | {
      state: 'there'
      /** Equal fingerprints mean that nothing changed. */
      fingerprint: string
      /** For files: a fingerprint without inodes and ctimes, which a restore cannot bring back. */
      content?: string | undefined
      /** Before compression. */
      bytes: number
      /** For files: what each source contains, for the record. */
      sources?: readonly SourceSize[]
      /** These describe the current state, changed or not. */
      warnings: readonly Warning[]
    }
  /** Nothing is there, and nothing is required. */
  | { state: 'absent'; reason: string }

/** An archive in transit. Its fields are final when `body` has ended. */
export interface Stream {
  body: Readable
  /** For files: the digest of the archive before compression. */
  tar?: string
  /** Paths that changed while tar read them, as tar prints them. */
  changed: string[]
  /** Other findings during reading. */
  warnings: Warning[]
  /** For files: the members' paths, if requested. Folders end in a slash. */
  members?: ReadonlySet<string>
}

/** Every path in the sources at one moment. Path strings hold one byte per character. */
export interface Listing {
  /** Sorted by path. */
  entries: Entry[]
  /** The fingerprint that a survey at that moment would give. */
  fingerprint: string
}

export interface OpenOptions {
  /** Collect the members' paths. */
  members?: boolean
  /** For files: read only these paths, sorted, together with the folders above them. */
  chosen?: readonly string[] | undefined
  /** Called with the number of source bytes read since the last call. */
  onRead?: (bytes: number) => void
}

/** An item as a stream of bytes. */
export interface Capture {
  /** Throws CaptureError when a required source is missing, unreadable or empty. */
  survey(): Promise<Survey>
  /** Reads the sources. The body fails with ChangedWhileRead on a change, unless `acceptChanges`. */
  open(acceptChanges: boolean, options?: OpenOptions): Stream
  /** For files: every path. Call before `open`, so that later changes show. Undefined if too many. */
  list?(): Promise<Listing | undefined>
  /** For files: computes the stream's `tar` digest on the host. Throws as the body would. */
  digest?(): Promise<string>
}

/** The sources cannot be backed up. The message names them and says what to do. */
export class CaptureError extends Error {
  override name = 'CaptureError'
}

/** Worth a retry: the next time the files may not change. */
export class ChangedWhileRead extends CaptureError {
  override name = 'ChangedWhileRead'
  constructor(readonly paths: string[]) {
    super(`changed while it was read: ${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ', …' : ''}`)
  }
}

/** Characters of names kept from a host, enough for about 100,000 files. */
const most = 8 * 2 ** 20

/**
 * Limits what a capture keeps of a host's output. Throws CaptureError beyond that, so that a compromised host
 * cannot fill this machine's memory or the records.
 */
export function listener(named: string, hostName: string): (line: string) => string {
  let heard = 0
  return (line) => {
    heard += line.length + 1
    if (heard <= most) return line
    throw new CaptureError(
      `${named} on ${hostName}: it sent more names of changed or unusual files than can be kept (${most / 2 ** 20} MiB): check what is going on there`,
    )
  }
}

/** tar options: report progress on standard error every 4 MiB. */
export const tellProgress = '--blocking-factor=128 --checkpoint=64 --checkpoint-action=echo=@%u'

/** Handles tellProgress lines, which count records of 64 KiB from the start. */
export function progressListener(onRead: (bytes: number) => void): (line: string) => boolean {
  let told = 0
  return (line) => {
    const records = /^tar: @(\d+)$/.exec(line)?.[1]
    if (records === undefined) return false
    const bytes = Number(records) * 65_536
    onRead(bytes - told)
    told = bytes
    return true
  }
}

/** Why a script failed: the signal that killed a process, otherwise the last line of its output. */
export function complaint({ stderr, exitCodes }: Outcome): string {
  // The shell's code is 128 + signal. For a broken pipe (13) the process behind it is the cause.
  const killed = exitCodes.find((code) => code > 128 && code !== 128 + 13)
  if (killed !== undefined) {
    return (
      `a process was killed there (signal ${killed - 128}). Check for a lack of memory (journalctl -k | grep -i oom), ` +
      `then ${runAgain()}`
    )
  }
  const lines = stderr
    .trim()
    .split('\n')
    .filter((line) => !/Exiting with failure status|Error is not recoverable: exiting now/.test(line))
  // tar does not escape the names of extended attributes.
  return printable(lines.at(-1) ?? '') || `exit codes ${exitCodes.join(' ')}`
}

/** A shell pattern in which `*` also matches `/`, as in our tar and find calls. */
export function matcher(pattern: string): RegExp {
  return new RegExp(
    `^${pattern
      .replace(/[.+^$(){}|\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
    's',
  )
}
