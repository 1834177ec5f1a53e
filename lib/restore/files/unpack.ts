import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type UnfitKind, unfit as whyUnfit } from '../../acceptance.ts'
import { complaint } from '../../capture/capture.ts'
import { boundMemory, chooseDecompressor, readToItsEnd } from '../../capture/compressor.ts'
import { errorLines } from '../../hosts/lines.ts'
import { bash, RunFailed, start } from '../../hosts/process.ts'
import type { ArchiveRecord } from '../../record.ts'
import { messageOf, runAgain } from '../../text.ts'

export interface Unpacked {
  bytes: number
  /** Lower-case hex. */
  sha256: string
  /** Members that this system could not make, as tar prints them, at most 300 characters each. */
  unfit: { path: string; kind: UnfitKind }[]
}

export interface UnpackOptions {
  /** What the archive must match. Without a record, only the archive's own checksums are checked. */
  record?: Partial<ArchiveRecord> & Pick<ArchiveRecord, 'sha256'>
  /** Which extended attributes come back; only root can set those other than `user.*`. */
  attributes: 'user.*' | '*'
  /** Unpacks only members that match this shell pattern (`*` matches `/` too) and the folders above them. */
  only?: string
  /** One archive of a chain: it may be empty. */
  part?: true
  onBytes?(bytes: number): void
}

/**
 * Unpacks an archive into an empty folder of ours and checks digest, gzip sums and names in the same pass.
 * Throws BadArchive for a damaged or hostile copy. tar keeps every member inside the folder, but follows
 * links within it, so names do not tell where members are: see topPathsOf.
 */
export async function unpack(body: Readable, folder: string, options: UnpackOptions): Promise<Unpacked> {
  const child = await start(bash(script, [folder, options.attributes, ...selection(options.only)]), {
    group: true,
  })
  let members = 0
  let hostile: string | undefined
  let stripped: string | undefined
  let isFull = false
  const unfit: Unpacked['unfit'] = []
  let faults = 0
  let unmatched = false
  const listed = errorLines((line) => {
    if (line.startsWith('/')) hostile ??= `it holds ${line}, an absolute path`
    const name = line.replace(/^(?:\.\/)+/, '').replace(/\/$/, '')
    if (name !== '' && name !== '.') members++
    return true
  })
  child.stdout.on('data', (chunk) => listed.push(chunk)).resume()
  const errors = errorLines((line) => {
    // Judge each message as it comes: only the last few are kept.
    const [, climbing] = /^tar: (.*): Member name contains '\.\.'$/.exec(line) ?? []
    if (climbing !== undefined) hostile ??= `it holds ${climbing}, which leads out of its folder`
    if (takenOff.test(line)) stripped ??= line
    isFull ||= outOfRoom.test(line)
    unmatched ||= line === `tar: ${options.only}: Not found in archive`
    const member = unfitMember(line)
    if (member !== undefined) unfit.push(member)
    else if (!harmless.test(line) && !(options.only !== undefined && notInIt.test(line))) faults++
    return false
  })
  child.stderr.on('data', (chunk) => errors.push(chunk)).resume()

  const seen = { bytes: 0, sha256: '' }
  let broken: Error | undefined
  try {
    await pipeline(holdTail(body, options.record, seen, options.onBytes), child.stdin)
  } catch (error) {
    broken = error as Error
    child.stdin.destroy()
  }
  const { code } = await child.ended
  listed.finish()
  const stderr = errors.finish()
  if (isFull) throw new CannotUnpack(`not enough space for it below ${folder}: free some, then ${runAgain()}`)
  if (hostile !== undefined) throw new BadArchive(hostile)
  if (stripped !== undefined) throw new BadArchive(`it holds links or names that lead outside (${stripped})`)
  // When tar gives up, the pipe breaks. The reason is then tar's message, not the source's.
  const gaveUp = (broken as NodeJS.ErrnoException | undefined)?.code === 'EPIPE'
  if (broken !== undefined && !gaveUp) throw broken
  const onlyUnfit = code === tarAlone && (unfit.length > 0 || options.only !== undefined) && faults === 0
  if (code !== 0 && !onlyUnfit)
    throw new BadArchive(`it cannot be unpacked: ${complaint({ stderr, exitCodes: [code ?? 137] })}`)
  if (gaveUp) throw new BadArchive('there are bytes after the end of the archive')
  if (unmatched && !options.part) throw new CannotUnpack(`nothing in it matches ${options.only}`)
  if (members === 0 && !options.part) throw new BadArchive('it is empty')
  return { ...seen, unfit }
}

/** A member whose name or path is too long here, or a device that this user may not make. */
function unfitMember(line: string): Unpacked['unfit'][number] | undefined {
  // A longer line was cut off, and with it tar's reason.
  if (line.startsWith('tar: ') && line.length > 16_000)
    return { path: line.slice(5, 305), kind: 'path too long' }
  const [, member, device] =
    /^tar: (.*?): Cannot (?:(mknod: Operation not permitted)|.*: File name too long)$/.exec(line) ?? []
  if (member === undefined) return undefined
  return { path: member.slice(0, 300), kind: device ? 'device' : (whyUnfit(member, 'f') ?? 'path too long') }
}

const harmless =
  /^tar: (?:Exiting with failure status due to previous errors|.*: (?:time stamp .* in the future|implausibly old time stamp .*))$/

const notInIt = /^tar: .*: Not found in archive$/

/** Arguments for tar: the folders above the first wildcard without their content, then every match. */
function selection(only: string | undefined): string[] {
  if (only === undefined) return []
  return ['--wildcards', '--no-recursion', ...foldersAbove(only), '--recursion', only]
}

export function foldersAbove(only: string): string[] {
  const parts = only.split('/')
  const fixed = parts.findIndex((part) => /[*?[\\]/.test(part))
  const above = parts.slice(0, fixed === -1 ? parts.length - 1 : fixed)
  return above.map((_, index) => above.slice(0, index + 1).join('/'))
}

/** For a file that fits only in part, tar reports how much it wrote. */
const outOfRoom = /^tar: .*: (?:.*No space left on device|.*Disk quota exceeded|Wrote only \d+ of \d+ bytes)$/

/** Whether a failure was a lack of space, by its code or by tar's message. */
export function isOutOfRoom(error: unknown): boolean {
  if (error instanceof RunFailed) return error.stderr.split('\n').some((line) => outOfRoom.test(line))
  return ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')
}

const takenOff = /^tar: Removing leading .* from (?:member names|hard link targets)$/

/** The script's exit code when tar could not make every member and everything else succeeded. */
const tarAlone = 42

/** Arguments: folder, attribute pattern, then what to unpack (default: all). Lists members on stdout. */
const script = `
${chooseDecompressor}
cd -- "$1" || exit 1
"\${decompressor[@]}" | { (${boundMemory}; exec tar --extract --file=- --preserve-permissions --numeric-owner --acls --xattrs \\
  --xattrs-include="$2" --delay-directory-restore --verbose --index-file=/dev/fd/4 --quoting-style=escape "\${@:3}" \\
  4> >(exec sed -u '')); ${readToItsEnd}; }
codes=("\${PIPESTATUS[@]}")
[ "\${codes[0]}" = 0 ] || exit 1
[ "\${codes[1]}" != 2 ] || exit ${tarAlone}
exit "\${codes[1]}"
`

/**
 * Passes an archive on, but holds back its last bytes until the digest matches: no reader sees the end of a
 * wrong archive. Throws BadArchive. Without a record, the reader's own checks must do.
 */
export async function* holdTail(
  source: AsyncIterable<Buffer>,
  record: UnpackOptions['record'],
  seen: { bytes: number; sha256: string },
  onBytes: (bytes: number) => void = () => {},
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  let held: Buffer = Buffer.alloc(0)
  try {
    for await (const chunk of source) {
      hash.update(chunk)
      seen.bytes += chunk.length
      onBytes(chunk.length)
      if (chunk.length >= kept) {
        yield held
        yield chunk.subarray(0, chunk.length - kept)
        held = chunk.subarray(chunk.length - kept)
      } else {
        held = Buffer.concat([held, chunk])
        yield held.subarray(0, Math.max(0, held.length - kept))
        held = held.subarray(Math.max(0, held.length - kept))
      }
    }
  } catch (error) {
    throw new BadArchive(`it could not be read to its end: ${messageOf(error)}`, { cause: error })
  }
  seen.sha256 = hash.digest('hex')
  if (record !== undefined && record.sha256 !== seen.sha256) {
    const size =
      record.bytes === undefined || record.bytes === seen.bytes
        ? ''
        : ` and ${seen.bytes} bytes of ${record.bytes}`
    throw new BadArchive(
      `it is not what its record says: sha256 ${seen.sha256.slice(0, 12)}… for ${record.sha256.slice(0, 12)}…${size}`,
    )
  }
  yield held
}

/** Bytes held back from the end of an archive: more than the trailer of a gzip stream. */
const kept = 64 * 1024

/** This copy is bad, but another may be good. The message completes "the copy is no good: ". */
export class BadArchive extends Error {
  override name = 'BadArchive'
}

/** The copy may be good, but this machine cannot take it: no other copy would help. */
export class CannotUnpack extends Error {
  override name = 'CannotUnpack'
}
