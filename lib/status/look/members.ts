import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { complaint } from '../../capture/capture.ts'
import { boundMemory, chooseDecompressor, readToItsEnd } from '../../capture/compressor.ts'
import { type Entry, type ListHead, readList, readLook } from '../../capture/list.ts'
import { memberPath } from '../../capture/listing.ts'
import { errorLines } from '../../hosts/lines.ts'
import { bash, start } from '../../hosts/process.ts'

/** One path in an archive. */
export interface Member {
  /** As in the archive. Bytes that are not UTF-8 are U+FFFD here. */
  path: string
  /** A pattern for `restore --path` that matches only this path, except for bytes that cannot be typed. */
  pattern: string
  type: 'file' | 'folder' | 'link' | 'other'
  bytes: number
  /** Absent for an impossible time. */
  modified?: Date
  /** The target of a link. */
  to?: string
}

/** For scripts: prints a line per member of the archive on standard input, with each name in quotes. */
export const listMembers = `
${chooseDecompressor}
"\${decompressor[@]}" | { (${boundMemory}; exec tar --list --file=- --verbose --full-time --utc --numeric-owner \\
  --quoting-style=c); ${readToItsEnd}; }
`

/** The same for an archive stream. Throws if it cannot be read to its end or is incomplete. */
export async function* linesOf(body: Readable, onBytes: (bytes: number) => void): AsyncGenerator<Buffer> {
  const child = await start(bash(listMembers), { group: true })
  const errors = errorLines()
  child.stderr.on('data', (chunk) => errors.push(chunk)).resume()
  body.on('data', ({ length }: Buffer) => onBytes(length))
  const broken = pipeline(body, child.stdin).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error,
  )
  try {
    yield* child.stdout
    const [{ code }, error] = await Promise.all([child.ended, broken])
    if (error !== undefined && error.code !== 'EPIPE') throw error
    if (code !== 0 || error) throw new Error(complaint({ stderr: errors.finish(), exitCodes: [code ?? 137] }))
  } finally {
    child.kill()
  }
}

/** An archive's members, from the lines of `listMembers`. All searches for files go through here. */
export async function* membersOf(lines: AsyncIterable<Buffer>): AsyncGenerator<Member> {
  let ready: Member[] = []
  const split = errorLines((line) => {
    ready.push(readMember(line))
    return true
  })
  for await (const chunk of lines) {
    split.push(chunk)
    yield* ready
    ready = []
  }
  split.finish()
  yield* ready
}

/**
 * The members that `isMeant` of all that a chain's item held, in whichever of its archives they are, from the
 * list next to one. Throws UnfitList.
 */
export async function membersListed(
  list: AsyncIterable<Buffer>,
  record: Parameters<typeof readList>[1],
  isMeant: (path: string) => boolean,
): Promise<{ head: ListHead; members: Member[] }> {
  const meant: Entry[] = []
  const firstNames = new Map<string, string>()
  const head = await readList(list, record, (entry) => {
    if (entry.mark === '~') return
    const file = sameFile(entry)
    const first = file && firstNames.get(file)
    if (file && (first === undefined || inTarsOrder(entry.path) < inTarsOrder(first)))
      firstNames.set(file, entry.path)
    if (isMeant(text(entry.path))) meant.push(entry)
  })
  return { head, members: meant.map((entry) => memberOf(entry, firstNames.get(sameFile(entry) ?? ''))) }
}

function memberOf({ path, look, target }: Entry, content = path): Member {
  const { type, size, mtime } = readLook(look)
  const to = content === path ? target : content
  return {
    path: text(path) + (type === 'd' ? '/' : ''),
    pattern: patternFor(Buffer.from(content, 'latin1')),
    type: typesFound[type] ?? 'other',
    bytes: type === 'f' ? size : 0,
    modified: new Date(Number(mtime) * 1000),
    ...(to === '' ? {} : { to: text(to) }),
  }
}

const typesFound: Record<string, Member['type']> = { f: 'file', d: 'folder', l: 'link' }

/** Names of one file share it. */
function sameFile({ look }: Entry): string | undefined {
  return look.startsWith('f ') ? look : undefined
}

/** Of a hard link's names, tar gives the content to the first: it sorts folder by folder. */
function inTarsOrder(path: string): string {
  return path.replaceAll('/', '\0')
}

function text(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString()
}

/** `-rw-r--r-- 0/0 123 2026-11-24 10:05:33 "home/dev/a"`, then ` -> "…"` or ` link to "…"`. Padded. */
function readMember(line: string): Member {
  const [, type = '', size = '', day, time, name, to] =
    /^(.)\S* \S+ +(\S+) +(\S+) +(\S+) +"((?:[^"\\]|\\.)*)"(?: (?:->|link to) "((?:[^"\\]|\\.)*)")?/.exec(
      line,
    ) ?? []
  if (name === undefined) throw new Error(`tar listed a member in an unknown form: ${line.slice(0, 200)}`)
  const modified = new Date(`${day}T${time?.slice(0, 8)}Z`)
  // A hard link has no content: the first name has it.
  const content = type === 'h' && to !== undefined ? to : name
  return {
    path: unquoted(name).toString(),
    pattern: patternFor(unquoted(content)),
    type: types[type] ?? 'other',
    bytes: Number(size) || 0,
    ...(Number.isNaN(modified.getTime()) ? {} : { modified }),
    ...(to === undefined ? {} : { to: unquoted(to).toString() }),
  }
}

const types: Record<string, Member['type']> = { '-': 'file', h: 'file', d: 'folder', l: 'link' }

function unquoted(text: string): Buffer {
  return Buffer.from(memberPath(text), 'latin1')
}

/** Escapes wildcards; control bytes become `?`, invalid UTF-8 becomes `*`. */
function patternFor(name: Buffer): string {
  return name
    .toString()
    .replace(/\/$/, '')
    .replace(/[*?[\\]/g, '\\$&')
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, (one) => '?'.repeat(Buffer.byteLength(one)))
    .replace(/\uFFFD+/g, '*')
}

/**
 * Whether a pattern matches a path: with a leading `/` the whole path, otherwise its last parts. `*` and `?`
 * match any characters, including `/`; `[a-z]` matches one of a set.
 */
export function meansPath(pattern: string): (path: string) => boolean {
  const parts = pattern.replace(/^\/+|\/+$/g, '').match(/\\.|\[[!^]?[^\]\\]+\]|\*+|./gsu) ?? []
  const source = parts.map((part) => {
    if (part.startsWith('*')) return '.*'
    if (part === '?') return '.'
    if (part.startsWith('[') && part !== '[') return part.replace(/^\[!/, '[^')
    return part.replace(/^\\(?=.)/su, '').replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  })
  const regexp = new RegExp(`${pattern.startsWith('/') ? '^(?:\\./)?' : '(?:^|/)'}${source.join('')}$`, 'su')
  return (path) => regexp.test(path.replace(/\/$/, ''))
}
