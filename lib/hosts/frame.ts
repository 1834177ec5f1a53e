import type { Command } from './script.ts'

/** Room for the end mark with the exit codes of some two hundred processes. */
const TAIL = 1024
/** What a script prints is handed on in pieces of about this size: what hashes, writes and sends them has few of them. */
const BLOCK = 2 ** 20
/** How much of what came before the begin mark is kept for a message. */
const BANNER = 4096

/** Takes a script's standard output apart as it comes: what a login shell printed before, the bytes, the exit codes. */
export interface Frame {
  /** Bytes that are certainly the script's own, in their order; often none, for they are gathered. */
  push(chunk: Buffer): Buffer[]
  /** To be called when nothing more comes. Without `exitCodes` the script was cut off, and `rest` is worth nothing. */
  finish(): { rest: Buffer; exitCodes?: number[] }
  /** Whether the script itself has begun. */
  begun(): boolean
  /** The last of what was printed before the script began. */
  banner(): string
}

export function frame({ begin, end }: Pick<Command, 'begin' | 'end'>): Frame {
  let begun = false
  let banner: Buffer = Buffer.alloc(0)
  let block: Buffer = Buffer.alloc(0)
  let filled = 0

  function gather(bytes: Buffer): Buffer[] {
    const full: Buffer[] = []
    for (let taken = 0; taken < bytes.length; ) {
      const copied = bytes.copy(block, filled, taken)
      taken += copied
      filled += copied
      if (filled < block.length) continue
      const last = block
      const sure = filled - TAIL
      full.push(last.subarray(0, sure))
      block = Buffer.allocUnsafeSlow(BLOCK)
      filled = last.copy(block, 0, sure)
    }
    return full
  }

  return {
    push(chunk) {
      if (begun) return gather(chunk)
      banner = Buffer.concat([banner, chunk])
      const at = banner.indexOf(begin)
      if (at === -1) {
        banner = banner.subarray(-BANNER)
        return []
      }
      begun = true
      block = Buffer.allocUnsafeSlow(BLOCK)
      return gather(banner.subarray(at + begin.length))
    },
    finish() {
      const held = begun ? block.subarray(0, filled) : banner
      const at = begun ? held.lastIndexOf(end) : -1
      if (at === -1) return { rest: held }
      const codes = /^((?: \d+)+)\n$/.exec(held.toString('latin1', at + end.length))?.[1]
      if (codes === undefined) return { rest: held }
      return { rest: held.subarray(0, at), exitCodes: codes.trim().split(' ').map(Number) }
    },
    begun: () => begun,
    banner: () => (begun ? '' : banner.toString().trim()),
  }
}
