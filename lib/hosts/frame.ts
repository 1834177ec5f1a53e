import type { Command } from './script.ts'

/** Room for the end mark with the exit codes of some two hundred processes. */
const TAIL = 1024
/** How much of what came before the begin mark is kept for a message. */
const BANNER = 4096

/** Takes a script's standard output apart as it comes: what a login shell printed before, the bytes, the exit codes. */
export interface Frame {
  /** The bytes that are certainly the script's own; may be empty. */
  push(chunk: Buffer): Buffer
  /** To be called when nothing more comes. Without `exitCodes` the script was cut off, and `rest` is worth nothing. */
  finish(): { rest: Buffer; exitCodes?: number[] }
  /** Whether the script itself has begun. */
  begun(): boolean
  /** The last of what was printed before the script began. */
  banner(): string
}

export function frame({ begin, end }: Pick<Command, 'begin' | 'end'>): Frame {
  let begun = false
  let held: Buffer = Buffer.alloc(0)

  return {
    push(chunk) {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
      if (!begun) {
        const at = held.indexOf(begin)
        if (at === -1) {
          held = held.subarray(-BANNER)
          return held.subarray(0, 0)
        }
        begun = true
        held = held.subarray(at + begin.length)
      }
      const sure = Math.max(0, held.length - TAIL)
      const bytes = held.subarray(0, sure)
      held = held.subarray(sure)
      return bytes
    },
    finish() {
      const at = begun ? held.lastIndexOf(end) : -1
      if (at === -1) return { rest: held }
      const codes = /^((?: \d+)+)\n$/.exec(held.toString('latin1', at + end.length))?.[1]
      if (codes === undefined) return { rest: held }
      return { rest: held.subarray(0, at), exitCodes: codes.trim().split(' ').map(Number) }
    },
    begun: () => begun,
    banner: () => (begun ? '' : held.toString().trim()),
  }
}
