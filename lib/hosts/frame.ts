import { takeBlock } from '../blocks.ts'
import type { Command } from './script.ts'

/** Room for the end mark with the exit codes of some two hundred processes. */
const TAIL = 1024
/** How much of what came before the begin mark is kept for a message. */
const BANNER = 4096

/** Takes a script's standard output apart as it comes: what a login shell printed before, the bytes, the exit codes. */
export interface Frame {
  /** Where the next bytes belong. There is room for one at least. */
  room(): Buffer
  /** To be called when so many bytes were put there. Returns bytes that are certainly the script's own, in their order; often none, for they are gathered. */
  filled(count: number): Buffer[]
  /** To be called when nothing more comes. Without `exitCodes` the script was cut off, and `rest` is worth nothing. */
  finish(): { rest: Buffer; exitCodes?: number[] }
  /** Whether the script itself has begun. */
  begun(): boolean
  /** The last of what was printed before the script began. */
  banner(): string
}

export function frame({ begin, end }: Pick<Command, 'begin' | 'end'>): Frame {
  let begun = false
  let block = takeBlock()
  let filled = 0

  /** Looks for the begin mark, and lets go what comes before it. */
  function lookForBegin(newBytes: number): void {
    const at = block.subarray(0, filled).indexOf(begin, Math.max(0, filled - newBytes - begin.length))
    begun = at !== -1
    const from = begun ? at + begin.length : Math.max(0, filled - BANNER)
    block.copyWithin(0, from, filled)
    filled -= from
  }

  return {
    room: () => block.subarray(filled),
    filled(count) {
      filled += count
      if (!begun) lookForBegin(count)
      if (filled < block.length) return []
      const full = block
      const sure = filled - TAIL
      block = takeBlock()
      filled = full.copy(block, 0, sure)
      return [full.subarray(0, sure)]
    },
    finish() {
      const held = block.subarray(0, filled)
      const at = begun ? held.lastIndexOf(end) : -1
      if (at === -1) return { rest: held }
      const codes = /^((?: \d+)+)\n$/.exec(held.toString('latin1', at + end.length))?.[1]
      if (codes === undefined) return { rest: held }
      return { rest: held.subarray(0, at), exitCodes: codes.trim().split(' ').map(Number) }
    },
    begun: () => begun,
    banner: () => (begun ? '' : block.toString('utf8', 0, filled).trim()),
  }
}

/** Puts bytes into a frame that lie elsewhere already. */
export function pour(chunk: Buffer, into: Frame): Buffer[] {
  const sure: Buffer[] = []
  for (let taken = 0; taken < chunk.length; ) {
    const copied = chunk.copy(into.room(), 0, taken)
    taken += copied
    sure.push(...into.filled(copied))
  }
  return sure
}
