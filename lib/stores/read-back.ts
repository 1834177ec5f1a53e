import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { bash } from '../bash.ts'

/** A file as the disk or the share has it. `sha256` is lower-case hex. */
export interface Held {
  bytes: number
  sha256: string
}

/**
 * The size in bytes and the SHA-256 of a file as the disk or the share has it, not as the page cache remembers it:
 * read with O_DIRECT where the file system knows that, elsewhere after the cached pages were dropped.
 */
export async function digestPastCache(file: string): Promise<Held> {
  const { size } = await stat(file)
  const { args, env } = bash(wholeScript, [file])
  // Loaded here, because a run that finds nothing changed does without it.
  const { execa } = await import('execa')
  const { stdout } = await execa('bash', args, { env, extendEnv: false, stdin: 'ignore' })
  return { bytes: size, sha256: stdout.slice(0, 64) }
}

/** Reads a file back past the page cache while its writer is still at work, a segment behind it. */
export interface ReadBehind {
  /** The file is written up to this offset in bytes, and will not change before it. */
  written(upTo: number): void
  /** Call when the file is whole and on the disk. */
  finish(): Promise<Held>
  /** Call when the file will never be whole. */
  abandon(): void
}

/** So much is read back at a time: a multiple of the blocks that O_DIRECT asks for. */
const segmentBytes = 64 * 2 ** 20

/**
 * As digestPastCache, but at the pace of the writing, so that a large archive is not waited for twice. Where O_DIRECT is not known, and for what is
 * smaller than a segment, it is digestPastCache at the end.
 */
export function readBehind(file: string): ReadBehind {
  let reader: ReturnType<typeof startReader> | undefined
  let asked = 0
  const ask = (upTo: number) => {
    reader ??= startReader(file)
    reader.child.stdin.write(`${asked} ${upTo - asked}\n`)
    asked = upTo
  }
  return {
    written(upTo) {
      const whole = upTo - (upTo % segmentBytes)
      if (whole > asked) ask(whole)
    },
    async finish() {
      if (reader === undefined) return digestPastCache(file)
      const { size } = await stat(file)
      if (size > asked) ask(size)
      reader.child.stdin.end()
      const [said, [code]] = await Promise.all([reader.said, reader.ended])
      return code === 0 ? { bytes: size, sha256: said.slice(0, 64) } : digestPastCache(file)
    },
    abandon() {
      reader?.child.kill('SIGKILL')
      reader?.child.stdin.destroy()
    },
  }
}

function startReader(file: string) {
  const { args, env } = bash(segmentsScript, [file])
  const child = spawn('bash', args, { env, stdio: ['pipe', 'pipe', 'ignore'] })
  // A reader that gave up is noticed by its exit code.
  child.stdin.on('error', () => {})
  return { child, said: text(child.stdout), ended: once(child, 'close') as Promise<[number | null]> }
}

/** openssl uses what the processor has for SHA-256, which Debian's and Ubuntu's sha256sum does not. */
const chooseDigest = `
digest() { if command -v openssl >/dev/null; then openssl dgst -sha256 -r; else sha256sum; fi; }
`

const wholeScript = `
${chooseDigest}
if dd if="$1" iflag=direct bs=64K count=1 of=/dev/null status=none 2>/dev/null; then
  dd if="$1" iflag=direct bs=4M status=none | digest
else
  dd if="$1" iflag=nocache count=0 status=none 2>/dev/null
  digest < "$1"
fi
`

/** Reads lines of an offset and a count of bytes from standard input. */
const segmentsScript = `
${chooseDigest}
while read -r from count; do
  dd if="$1" iflag=direct,fullblock,skip_bytes,count_bytes skip="$from" count="$count" bs=4M status=none || exit 1
done | digest
`
