import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
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
  const reader = directReader(file)
  let asked = 0
  let reading: Promise<void> | undefined
  const ask = (upTo: number) => {
    asked = upTo
    reading = (reading ?? Promise.resolve()).then(() => reader.readTo(upTo))
    // Whether it could be read is asked at the end.
    reading.catch(() => {})
  }
  return {
    written(upTo) {
      const whole = upTo - (upTo % segmentBytes)
      if (whole > asked) ask(whole)
    },
    async finish() {
      if (reading === undefined) return digestPastCache(file)
      const { size } = await stat(file)
      if (size > asked) ask(size)
      try {
        await reading
        return { bytes: size, sha256: reader.digest() }
      } catch {
        return digestPastCache(file)
      } finally {
        await reader.close()
      }
    },
    abandon() {
      reader.close().catch(() => {})
    },
  }
}

/** Reads with O_DIRECT, straight into memory of this process: no other process, no pipe, and no page cache between the disk and the digest. */
function directReader(file: string) {
  // O_DIRECT wants memory that is aligned as the disk's blocks are. WebAssembly's is, to its pages of 64 KiB.
  const pages = readBytes / 2 ** 16
  const memory = new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer)
  const hash = createHash('sha256')
  let opening: Promise<FileHandle> | undefined
  let position = 0
  let closed = false

  return {
    /** Where it stands is a multiple of what is read at once, until the end of the file. */
    async readTo(end: number): Promise<void> {
      opening ??= open(file, constants.O_RDONLY | constants.O_DIRECT)
      const handle = await opening
      while (position < end && !closed) {
        const { bytesRead } = await handle.read(memory, 0, readBytes, position)
        if (bytesRead === 0) throw new Error(`${file} ends at ${position}, before ${end}`)
        hash.update(memory.subarray(0, bytesRead))
        position += bytesRead
      }
    },
    digest: () => hash.digest('hex'),
    async close(): Promise<void> {
      closed = true
      await (await opening)?.close()
    },
  }
}

/** Node has it; of its types the name alone. */
declare const WebAssembly: {
  Memory: new (pages: { initial: number; maximum: number }) => { buffer: ArrayBuffer }
}

/** A divisor of the segments. */
const readBytes = 4 * 2 ** 20

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
