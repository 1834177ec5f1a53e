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
  return readBehind(file).finish()
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

/** So much is read back at a time. */
const segmentBytes = 64 * 2 ** 20

/** As digestPastCache, but at the pace of the writing, so that a large archive is not waited for twice. */
export function readBehind(file: string): ReadBehind {
  const reader = directReader(file)
  let asked = 0
  let reading = Promise.resolve()
  const ask = (upTo: number) => {
    asked = upTo
    reading = reading.then(() => reader.readTo(upTo))
    // Whether it could be read is asked at the end.
    reading.catch(() => {})
  }
  return {
    written(upTo) {
      const whole = upTo - (upTo % segmentBytes)
      if (whole > asked) ask(whole)
    },
    async finish() {
      const { size } = await stat(file)
      if (size > asked) ask(size)
      try {
        await reading
        return { bytes: size, sha256: reader.digest() }
      } catch {
        return { bytes: size, sha256: await digestByTools(file) }
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
  const hash = createHash('sha256')
  let opening: Promise<FileHandle> | undefined
  let [filling, filled] = [noMemory, noMemory]
  let position = 0
  let closed = false

  async function readOn(handle: FileHandle, end: number): Promise<Uint8Array> {
    const length = Math.min(readBytes, roundUp(end - position))
    if (filling.length < length) filling = alignedMemory(length)
    const { bytesRead } = await handle.read(filling, 0, length, position)
    if (bytesRead === 0) throw new Error(`${file} ends at ${position}, before ${end}`)
    position += bytesRead
    const bytes = filling.subarray(0, bytesRead)
    ;[filling, filled] = [filled, filling]
    return bytes
  }

  return {
    /** Where this ends is a multiple of the blocks, until it is the end of the file. */
    async readTo(end: number): Promise<void> {
      if (closed) return
      opening ??= open(file, constants.O_RDONLY | constants.O_DIRECT)
      const handle = await opening
      // A direct read would do this too, but holds up the writer meanwhile.
      await handle.datasync()
      let coming = readOn(handle, end)
      while (true) {
        const bytes = await coming
        const isLast = position >= end || closed
        // One is read while the one before is hashed.
        if (!isLast) coming = readOn(handle, end)
        hash.update(bytes)
        if (isLast) return
      }
    },
    digest: () => hash.digest('hex'),
    async close(): Promise<void> {
      closed = true
      await (await opening)?.close()
    },
  }
}

/** A divisor of the segments. */
const readBytes = 4 * 2 ** 20

/** O_DIRECT wants offsets, lengths and memory that are aligned as the disk's blocks are. WebAssembly's memory is, to its pages, which no disk's blocks exceed. */
const pageBytes = 2 ** 16
const noMemory: Uint8Array = new Uint8Array()

function roundUp(bytes: number): number {
  return Math.ceil(bytes / pageBytes) * pageBytes
}

function alignedMemory(bytes: number): Uint8Array {
  const pages = bytes / pageBytes
  return new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer)
}

/** Node has it; of its types the name alone. */
declare const WebAssembly: {
  Memory: new (pages: { initial: number; maximum: number }) => { buffer: ArrayBuffer }
}

/** Where O_DIRECT is not known. */
async function digestByTools(file: string): Promise<string> {
  const { args, env } = bash(wholeScript, [file])
  // Loaded here, because hardly any file system needs it.
  const { execa } = await import('execa')
  const { stdout } = await execa('bash', args, { env, extendEnv: false, stdin: 'ignore' })
  return stdout.slice(0, 64)
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
