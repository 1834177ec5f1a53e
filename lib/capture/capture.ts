import type { Readable } from 'node:stream'

/** What a capture's sources look like right now, without having read them. */
export type Survey =
  | {
      state: 'there'
      /** Equal fingerprints mean that nothing changed in between. */
      fingerprint: string
      /** Of the sources, before compression. */
      bytes: number
    }
  /** Nothing there, and nothing required. */
  | { state: 'absent'; reason: string }

/** An archive on its way. What is said of it holds once `body` has ended. */
export interface Stream {
  body: Readable
  /** Paths that changed while they were read, as tar prints them. */
  changed: string[]
  /** What the operator should know, though it is no failure. */
  warnings: string[]
}

/** An item as a stream of bytes. */
export interface Capture {
  /** Throws CaptureError for a required source that is missing, unreadable or empty. */
  survey(): Promise<Survey>
  /** Reads the sources. When something changes meanwhile, the body fails with ChangedWhileRead, unless `acceptChanges`. */
  open(acceptChanges: boolean): Stream
}

/** The sources cannot become a backup. The message names them and says what to do. */
export class CaptureError extends Error {
  override name = 'CaptureError'
}

/** Worth one more try: a moment later the same files may hold still. */
export class ChangedWhileRead extends CaptureError {
  override name = 'ChangedWhileRead'
  constructor(readonly paths: string[]) {
    super(`changed while it was read: ${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ', …' : ''}`)
  }
}
