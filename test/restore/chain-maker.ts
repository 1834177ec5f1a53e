import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { difference, type Entry, writeList } from '../../lib/capture/list.ts'
import { incrementComment, type Link, listName } from '../../lib/chain.ts'
import { type ArchiveRecord, makeRecord, readRecord } from '../../lib/record.ts'

/** Writes chains by itself, with find and tar: what a restore must put back is here, whatever a backup writes. */
export interface ChainMaker {
  /** Archives the source as it is now. */
  hour(stamp: string, options?: { whole?: boolean; host?: string }): Promise<ArchiveRecord>
}

/** A chain of home-dev in `store`: a new file in each of so many hours of 2026-11-24, from 00 on. */
export async function chainOfHours(
  folder: string,
  store: string,
  hours: number,
  isWhole: (hour: number) => boolean = () => false,
): Promise<void> {
  const live = path.join(folder, 'live')
  mkdirSync(path.join(live, 'home/dev'), { recursive: true })
  const maker = chainMaker(live, 'home/dev', 'home-dev', store)
  for (let hour = 0; hour < hours; hour++) {
    writeFileSync(path.join(live, `home/dev/of-${hour}`), `hour ${hour}`)
    await maker.hour(`2026-11-24-0${hour}`, { whole: isWhole(hour) })
  }
}

/** Of the folder `source` below `root`, into the folder `store`. */
export function chainMaker(root: string, source: string, item: string, store: string): ChainMaker {
  let before: { entries: Entry[]; links: Link[] } | undefined
  return {
    async hour(stamp, { whole = false } = {}) {
      const archive = `${item}-${stamp}.tar.gz`
      const entries = entriesOf(root, source)
      const compared = difference(entries)
      if (whole) before = undefined
      for (const entry of before?.entries ?? []) compared.before(entry)
      const { changed, deleted } = compared.end()
      const bytes = gzipSync(tarOf(root, changed, before !== undefined), { level: 1 })
      const sha256 = sha256Of(bytes)
      const own = { archive, sha256, bytes: bytes.length }
      const links = before?.links ?? []
      const list = await buffer(writeList({ item, archive: own, links }, entries, deleted))
      const base = links.at(-1)
      const record: ArchiveRecord = {
        ...own,
        item,
        environment: 'production',
        time: timeOf(stamp),
        list: { sha256: sha256Of(list), bytes: list.length },
        ...(base && {
          increment: {
            base: { archive: base.archive, sha256: base.sha256 },
            whole: (links[0] as Link).archive,
            link: links.length,
            deleted: deleted.length,
          },
        }),
      }
      mkdirSync(store, { recursive: true })
      writeFileSync(path.join(store, archive), bytes)
      writeFileSync(path.join(store, listName(archive)), list)
      writeFileSync(path.join(store, `${archive}.sha256`), makeRecord(record))
      before = { entries, links: [...links, own] }
      return record
    },
  }
}

export function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** `2026-11-24-09` is five past nine. */
function timeOf(stamp: string): Date {
  const [, day, hour = '00', minute = '05'] = /^(\d+-\d+-\d+)(?:-(\d\d))?(?:-(\d\d))?$/.exec(stamp) ?? []
  return new Date(`${day}T${hour}:${minute}:00Z`)
}

/** Every path below a folder with its look, sorted by bytes. */
function entriesOf(root: string, source: string): Entry[] {
  const told = execFileSync('find', [source, '-printf', '%p\\0%y %s %T@ %C@ %i %m %U %G\\0%l\\0'], {
    cwd: root,
    maxBuffer: 2 ** 30,
  }).toString('latin1')
  const parts = told.split('\0')
  const entries: Entry[] = []
  for (let at = 0; at + 2 < parts.length; at += 3) {
    const [path = '', look = '', target = ''] = parts.slice(at, at + 3)
    entries.push({ mark: look.startsWith('s') ? '~' : '=', path, look, target })
  }
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1))
}

function tarOf(root: string, paths: readonly string[], increment: boolean): Buffer {
  return execFileSync(
    'tar',
    [
      ...['--create', '--file=-', '--no-recursion', '--null', '--verbatim-files-from', '--files-from=-'],
      ...['--format=posix', '--numeric-owner', '--xattrs', '--acls', '--sparse', '--sparse-version=0.0'],
      increment
        ? `--pax-option=delete=atime,delete=ctime,globexthdr.name=increment,globexthdr.mtime=0,comment=${incrementComment}`
        : '--pax-option=delete=atime,delete=ctime',
    ],
    { cwd: root, input: Buffer.from(paths.map((one) => `${one}\0`).join(''), 'latin1'), maxBuffer: 2 ** 30 },
  )
}

/** What a tree is, down to nanoseconds, contents and hard links: a line a path. */
export function look(root: string, source: string): string[] {
  if (!existsSync(path.join(root, source))) return []
  const told = execFileSync(
    'find',
    [source, '-not', '-type', 's', '-printf', '%p\\0%y %s %T@ %m %U %G %n %l\\0%i\\0'],
    { cwd: root, maxBuffer: 2 ** 30 },
  ).toString('latin1')
  const parts = told.split('\0')
  const first = new Map<string, string>()
  const lines: string[] = []
  const rows: [string, string, string][] = []
  for (let at = 0; at + 2 < parts.length; at += 3)
    rows.push(parts.slice(at, at + 3) as [string, string, string])
  for (const [name, is, inode] of rows.sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!first.has(inode)) first.set(inode, name)
    // The size of a folder is the file system's business, and how many links it has.
    const about = is.startsWith('d') ? is.replace(/^d \d+/, 'd').replace(/ \d+ $/, '') : is
    const content = is.startsWith('f')
      ? sha256Of(readFileSync(Buffer.from(`${root}/${name}`, 'latin1'))).slice(0, 12)
      : ''
    lines.push(
      `${JSON.stringify(name)} ${about} ${content} ${first.get(inode) === name ? '' : first.get(inode)}`,
    )
  }
  return lines
}

/** Changes a record that lies in a store. */
export function editRecord(file: string, edit: (record: ArchiveRecord) => ArchiveRecord): void {
  const record = readRecord(readFileSync(file, 'utf8')) as ArchiveRecord
  writeFileSync(file, makeRecord(edit(record)))
}
