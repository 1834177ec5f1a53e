import { createHash } from 'node:crypto'
import { pipeline, Readable } from 'node:stream'
import { createGunzip, createGzip } from 'node:zlib'
import { incrementComment, type Link } from '../chain.ts'

/**
 * The list next to an archive: every path of its item, and its attributes. Gzipped ASCII, sorted by path:
 *
 *     # comfyume-backup list 1
 *     # item: user-outputs
 *     # archive: <sha256> <bytes> user-outputs-2026-11-30-10.tar.gz
 *     # link: <sha256> <bytes> <name>          the archives before it, the whole one first
 *     = f 1234 <mtime> <ctime> <inode> <mode> <uid> <gid> <path> [<target of a link>]
 *     - <path>                                 deleted since the previous archive
 *     # end: <number of entries> <number of deleted paths>
 *
 * Paths are relative to the host's root. Backslashes and bytes that are no visible ASCII become `\ooo`.
 */
export interface ListHead {
  item: string
  archive: Link
  /** The archives before it, starting with the whole one. Empty for a whole archive. */
  links: readonly Link[]
}

/** One path. Path strings hold one byte per character. */
export interface Entry {
  /**
   * `=`: the chain's newest archive of this path has this version. `?`: the same, but it changed meanwhile,
   * so the next increment stores it again. `~`: in no archive, so a restore skips it (a database's log).
   */
  mark: '=' | '?' | '~'
  path: string
  /** find's type, size, mtime, ctime (`-` for database logs), inode, mode, uid, gid. Equal: unchanged. */
  look: string
  /** The target of a symbolic link. */
  target: string
}

/** The fields of `look`. */
export interface Look {
  /** find's `%y`: f, d, l, p, s. */
  type: string
  size: number
  /** Seconds, with ten decimals. */
  mtime: string
  ctime: string
  inode: string
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
}

export function readLook(look: string): Look {
  const [type = '', size, mtime = '', ctime = '', inode = '', mode = '', uid, gid] = look.split(' ')
  return {
    type,
    size: Number(size),
    mtime,
    ctime,
    inode,
    mode: Number.parseInt(mode, 8),
    uid: Number(uid),
    gid: Number(gid),
  }
}

/** Maximum text of a list in bytes, about two million paths. A larger item stays whole. */
const mostListBytes = 256 * 2 ** 20

/** A list that is truncated, forged, too large, or of another archive. */
export class UnfitList extends Error {
  override name = 'UnfitList'
}

/** The gzipped list. `entries` and `deleted` must be sorted by path. */
export function writeList(head: ListHead, entries: Iterable<Entry>, deleted: Iterable<string>): Readable {
  return pipeline(Readable.from(inChunks(linesOf(head, entries, deleted))), createGzip(), () => {})
}

const magic = '# comfyume-backup list 1'

function* linesOf({ item, archive, links }: ListHead, entries: Iterable<Entry>, deleted: Iterable<string>) {
  const linkText = ({ sha256, bytes, archive: name }: Link) => `${sha256} ${bytes} ${name}`
  yield magic
  yield `# item: ${item}`
  yield `# archive: ${linkText(archive)}`
  for (const link of links) yield `# link: ${linkText(link)}`
  let [there, gone] = [0, 0]
  for (const { mark, look, path, target } of entries) {
    there++
    yield `${mark} ${look} ${escaped(path)}${target === '' ? '' : ` ${escaped(target)}`}`
  }
  for (const path of deleted) {
    gone++
    yield `- ${escaped(path)}`
  }
  yield `# end: ${there} ${gone}`
}

function* inChunks(lines: Iterable<string>): Iterable<string> {
  let chunk = ''
  for (const line of lines) {
    chunk += `${line}\n`
    if (chunk.length < 65536) continue
    yield chunk
    chunk = ''
  }
  yield chunk
}

/**
 * Reads a list and checks it against `record`. Throws UnfitList unless it is whole and belongs to this item
 * and archive. In that case ignore what `onEntry` and `onDeleted` received.
 */
export async function readList(
  body: AsyncIterable<Buffer>,
  record: { item: string; archive: string; sha256: string; list: { sha256: string; bytes: number } },
  onEntry: (entry: Entry) => void,
  onDeleted: (path: string) => void = () => {},
): Promise<ListHead> {
  const hash = createHash('sha256')
  const text = pipeline(counted(body, hash, record.list.bytes), createGunzip(), () => {})
  const parser = lineParser(onEntry, onDeleted)
  let rest = ''
  let bytes = 0
  try {
    for await (const chunk of text as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > mostListBytes) throw new UnfitList('it is larger than any list of ours')
      const lines = (rest + chunk.toString('latin1')).split('\n')
      rest = lines.pop() as string
      for (const line of lines) parser.take(line)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('Z_'))
      throw new UnfitList('it is cut off, or not gzip')
    throw error
  }
  if (hash.digest('hex') !== record.list.sha256)
    throw new UnfitList('it is not the one that the record names')
  const head = rest === '' ? parser.end() : undefined
  if (head === undefined) throw new UnfitList('it is cut off')
  const { item, archive } = head
  if (item !== record.item || archive.archive !== record.archive || archive.sha256 !== record.sha256)
    throw new UnfitList('it is the list of another archive')
  return head
}

async function* counted(body: AsyncIterable<Buffer>, hash: ReturnType<typeof createHash>, most: number) {
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > most) throw new UnfitList('it is longer than the record says')
    hash.update(chunk)
    yield chunk
  }
}

const commentLine = /^# (item|archive|link|end): (.*)$/
const linkText = /^([0-9a-f]{64}) (\d{1,15}) ([^/\s]+)$/
const entryLine =
  /^([=?~]) ([a-z] \d+ -?\d+(?:\.\d+)? (?:-|-?\d+(?:\.\d+)?) \d+ [0-7]+ \d+ \d+) ([!-~]+)(?: ([!-~]+))?$/

function lineParser(onEntry: (entry: Entry) => void, onDeleted: (path: string) => void) {
  let [item, archive, ended, first] = ['', undefined as Link | undefined, '', true]
  const links: Link[] = []
  let [there, gone, last] = [0, 0, '']

  /** Rejects paths that are out of order, repeated, or outside the root. */
  function inOrder(text: string): string {
    const path = unescaped(text)
    if (path <= last || /(?:^|\/)(?:\.{0,2})(?:\/|$)/.test(path))
      throw new UnfitList(`it holds ${text} where it cannot be`)
    last = path
    return path
  }

  function comment(name: string, value: string): void {
    const [, sha256 = '', bytes, named = ''] = linkText.exec(value) ?? []
    const link = { archive: named, sha256, bytes: Number(bytes) }
    if (name === 'item') item = value
    else if (name === 'end') ended = value
    else if (named === '') throw new UnfitList(`it has a line that does not belong in a list: # ${name}`)
    else if (name === 'archive') archive = link
    else links.push(link)
  }

  return {
    take(line: string): void {
      if (first ? line !== magic : ended !== '') throw new UnfitList('it is not a list')
      if (first) {
        first = false
        return
      }
      const entry = entryLine.exec(line)
      if (entry !== null && gone === 0) {
        const [, mark, look = '', text = '', target = ''] = entry
        there++
        onEntry({ mark: mark as Entry['mark'], path: inOrder(text), look, target: unescaped(target) })
      } else if (/^- [!-~]+$/.test(line)) {
        if (gone++ === 0) last = ''
        onDeleted(inOrder(line.slice(2)))
      } else {
        const [, name = '', value = ''] = commentLine.exec(line) ?? []
        if (name === '')
          throw new UnfitList(`it has a line that does not belong in a list: ${line.slice(0, 60)}`)
        comment(name, value)
      }
    },
    end(): ListHead | undefined {
      return ended === `${there} ${gone}` && archive !== undefined ? { item, archive, links } : undefined
    },
  }
}

/** Reads only the head of a list: the archives of its chain, unverified. Undefined if it is not a list. */
export async function readHead(body: AsyncIterable<Buffer>): Promise<ListHead | undefined> {
  return headOf(await headText(body))
}

/** The first lines of a list, and some more text. */
export function headText(body: AsyncIterable<Buffer>): Promise<string> {
  return beginning(body, (text) => /\n[^#\n]/.test(text) || text.length > mostHeadBytes)
}

/** Whether an archive's first header marks it as an increment. Used for archives without a record. */
export async function isIncrement(body: AsyncIterable<Buffer>): Promise<boolean> {
  const text = await beginning(body, ({ length }) => length >= 2048)
  return text[typePlace] === 'g' && text.slice(0, 2048).includes(`comment=${incrementComment}\n`)
}

/** The offset of the type in a tar header. */
const typePlace = 156

/** The start of a gzip file, one byte per character, even if the file is cut off. */
async function beginning(body: AsyncIterable<Buffer>, isEnough: (text: string) => boolean): Promise<string> {
  let text = ''
  try {
    // Leaving the loop closes the file or the connection.
    for await (const chunk of pipeline(body, createGunzip(), () => {}) as AsyncIterable<Buffer>) {
      text += chunk.toString('latin1')
      if (isEnough(text)) break
    }
  } catch {}
  return text
}

/** Far more than the links of any chain need. */
const mostHeadBytes = 2 ** 20

/** Parses the head from the first lines of a list. */
export function headOf(text: string): ListHead | undefined {
  const lines = text.split('\n').filter((line) => line.startsWith('#'))
  if (lines[0] !== magic) return undefined
  const valuesOf = (name: string) =>
    lines.flatMap((line) => (line.startsWith(`# ${name}: `) ? line.slice(name.length + 4) : []))
  const links = [...valuesOf('link'), ...valuesOf('archive')].map(readLink)
  const archive = links.pop()
  if (archive === undefined || links.includes(undefined)) return undefined
  return { item: valuesOf('item')[0] ?? '', archive, links: links as Link[] }
}

function readLink(text: string): Link | undefined {
  const [, sha256, bytes, archive] = linkText.exec(text) ?? []
  return sha256 && archive ? { archive, sha256, bytes: Number(bytes) } : undefined
}

/** Writes the backslash and all bytes except visible ASCII as `\ooo`. */
export function escaped(bytes: string): string {
  return bytes.replace(/[^!-[\]-~]/g, (one) => `\\${one.charCodeAt(0).toString(8).padStart(3, '0')}`)
}

export function unescaped(text: string): string {
  return text.replace(/\\([0-3][0-7]{2})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))
}

/** What changed in an item between two lists that are sorted by path. */
export interface Difference {
  /** New, changed, or marked `?` in the earlier list. */
  changed: string[]
  /** Those that earlier archives have in another version. */
  replaced: Set<string>
  deleted: string[]
}

/**
 * Compares for equality only, so a clock that was set back cannot hide a change. Call `before` with the
 * earlier list's entries in order, then `end`.
 */
export function difference(now: readonly Entry[]) {
  const found: Difference = { changed: [], replaced: new Set(), deleted: [] }
  let at = 0
  return {
    before({ mark, path, look, target }: Entry): void {
      for (; at < now.length && (now[at] as Entry).path < path; at++)
        found.changed.push((now[at] as Entry).path)
      const one = now[at]
      if (one?.path !== path) {
        if (mark !== '~') found.deleted.push(path)
        return
      }
      if (mark === '?' || one.look !== look || one.target !== target) {
        found.changed.push(path)
        if (mark !== '~') found.replaced.add(path)
      }
      at++
    },
    end(): Difference {
      for (; at < now.length; at++) found.changed.push((now[at] as Entry).path)
      return found
    },
  }
}
