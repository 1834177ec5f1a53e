import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { bash } from '../bash.ts'
import { complaint } from '../capture/complaint.ts'
import { boundMemory, chooseDecompressor, readToItsEnd } from '../capture/compressor.ts'
import { memberMark } from '../capture/files-scripts.ts'
import { matcher } from '../capture/pattern.ts'
import { errorLines } from '../hosts/lines.ts'
import type { ArchiveRecord } from '../record.ts'
import { BadArchive, CannotUnpack } from './bad-archive.ts'
import { gate } from './gate.ts'

export interface Unpacked {
  bytes: number
  /** Lower-case hex. */
  sha256: string
}

export interface UnpackOptions {
  /** What the archive must be; absent for one without a record, of which only its own sums are checked. */
  record?: ArchiveRecord
  /** Shell patterns, each of which must match a member. */
  mustHave: readonly string[]
  /** A pattern of the extended attributes that come back; those beside `user.*` take root. */
  attributes: 'user.*' | '*'
  onBytes?(bytes: number): void
}

/**
 * Unpacks an archive into `folder`, an empty one of our own, and checks it in the same pass: its digest against the record, the gzip sums, the
 * names. Throws BadArchive for a copy that is not what it should be or is hostile; the folder then holds rubbish.
 *
 * tar itself keeps every member inside the folder: it takes leading `/` and `..` off names and the targets of hard links, and makes a link that could lead outside only
 * when all else is written. That it had to take something off is why such an archive is refused. Where inside the folder the members
 * lie is another matter, because links within it are followed: see headsOf.
 */
export async function unpack(body: Readable, folder: string, options: UnpackOptions): Promise<Unpacked> {
  const { args, env } = bash(script, [folder, options.attributes])
  const child = spawn('bash', args, { env, stdio: ['pipe', 'ignore', 'pipe'], detached: true })
  const ended = once(child, 'close') as Promise<[number | null]>
  let members = 0
  const lacking = new Map(options.mustHave.map((pattern) => [pattern, matcher(pattern)]))
  let hostile: string | undefined
  let stripped: string | undefined
  let isFull = false
  const errors = errorLines((line) => {
    // A message is judged when it comes: of very many, only the last are kept.
    hostile ??= whyHostile(line)
    if (takenOff.test(line)) stripped ??= line
    isFull ||= outOfRoom.test(line)
    if (!line.startsWith(memberMark)) return false
    const member = line.slice(memberMark.length)
    const name = member.replace(/^(?:\.\/)+/, '').replace(/\/$/, '')
    if (name !== '' && name !== '.') members++
    for (const [pattern, test] of lacking) if (test.test(`/${name}`)) lacking.delete(pattern)
    return true
  })
  child.stderr.on('data', (chunk) => errors.push(chunk))

  const seen = { bytes: 0, sha256: '' }
  let broken: Error | undefined
  try {
    await pipeline(gate(body, options.record, seen, options.onBytes), child.stdin)
  } catch (error) {
    broken = error as Error
    child.stdin.destroy()
  }
  const [code] = await ended
  const stderr = errors.finish()
  if (isFull) throw new CannotUnpack(`no room for it below ${folder}: free some, and run again`)
  if (hostile !== undefined) throw new BadArchive(hostile)
  if (stripped !== undefined) throw new BadArchive(`it holds links or names that lead outside (${stripped})`)
  // A tar that gave up breaks the pipe: what it says is then the reason, else what the source said.
  const gaveUp = (broken as NodeJS.ErrnoException | undefined)?.code === 'EPIPE'
  if (broken !== undefined && !gaveUp) throw broken
  if (code !== 0)
    throw new BadArchive(`it cannot be unpacked: ${complaint({ stderr, exitCodes: [code ?? 137] })}`)
  if (gaveUp) throw new BadArchive('there are bytes behind the end of the archive')
  if (members === 0) throw new BadArchive('it is empty')
  if (lacking.size > 0) throw new BadArchive(`it has no ${[...lacking.keys()].join(' and no ')}`)
  return seen
}

/** Of a file that only fits in part, tar says how much did. */
const outOfRoom = /^tar: .*: (?:.*No space left on device|.*Disk quota exceeded|Wrote only \d+ of \d+ bytes)$/

const takenOff = /^tar: Removing leading .* from (?:member names|hard link targets)$/

/** By a line of tar's list of members, or one of its messages. What is unusual in a name is escaped there. */
function whyHostile(line: string): string | undefined {
  if (line.startsWith(`${memberMark}/`)) return `it holds ${line.slice(memberMark.length)}, an absolute path`
  const [, climbing] = /^tar: (.*): Member name contains '\.\.'$/.exec(line) ?? []
  return climbing === undefined ? undefined : `it holds ${climbing}, which leads out of its folder`
}

/** Arguments: the folder; the extended attributes that count. Each member is listed on standard error behind the mark. */
const script = `
${chooseDecompressor}
cd -- "$1" || exit 1
"\${decompressor[@]}" | { (${boundMemory}; exec tar --extract --file=- --preserve-permissions --numeric-owner --acls --xattrs \\
  --xattrs-include="$2" --delay-directory-restore --verbose --index-file=/dev/fd/4 --quoting-style=escape \\
  4> >(sed -u 's/^/${memberMark}/' >&2) 2> >(sed -u '' >&2)); ${readToItsEnd}; }
`
