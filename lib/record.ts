import type { SourceSize, Warning } from './acceptance.ts'
import { readArchiveName, readTime } from './naming.ts'

/**
 * The record that makes an archive a backup: `<archive>.sha256`, written last, readable by `sha256sum -c`.
 * Another tool's record may lack comment lines; the archive's name then supplies what is missing.
 */
export interface ArchiveRecord {
  /** The archive's name, without folder. */
  archive: string
  /** Of the archive as stored, lower-case hex. */
  sha256: string
  item?: string
  host?: string
  environment?: string
  /** When the sources were read; counts more than the stamp in the name. */
  time?: Date
  bytes?: number
  /** A digest of how the sources looked, to tell whether they changed. */
  fingerprint?: string
  /** The same without what a restore cannot bring back: inodes and ctimes. */
  content?: string | undefined
  /** The digest of the uncompressed archive. Compressors differ between machines. */
  tar?: string | undefined
  /** Paths that changed during the reading, as tar prints them. */
  changed?: string[]
  /** The size of each source, for comparison before the next backup. */
  sources?: readonly SourceSize[]
  /** They apply as long as this copy is the newest. */
  warnings?: readonly Warning[]
  /** For changed content of a model, which has its own name: the model's path. */
  original?: string
  /** When `verify --adopt` wrote this record for an archive without one. `time` is then a best guess. */
  adopted?: Date
  /** The list next to the archive (see chain.ts), which the next increment is compared with. */
  list?: { sha256: string; bytes: number }
  /** Present if the archive has only what changed since its base, which a second digest line names. */
  increment?: Increment
}

/** What makes a record that of an increment. */
export interface Increment {
  /** The archive that it builds on: whole, or an increment. */
  base: { archive: string; sha256: string }
  /** The name of the whole archive at the start of its chain. */
  whole: string
  /** Its number in the chain; the whole one is 0. */
  link: number
  /** The number of paths deleted since its base. */
  deleted: number
}

/** A record's text. Paths must have no newline, which tar's escaped form does not. */
export function makeRecord(record: ArchiveRecord): string {
  const lines: [string, string | undefined][] = [
    ['item', record.item],
    ['host', record.host],
    ['environment', record.environment],
    ['time', record.time?.toISOString()],
    ['bytes', record.bytes?.toString()],
    ['fingerprint', record.fingerprint],
    ['content', record.content],
    ['tar', record.tar],
    ['original', record.original],
    ['adopted', record.adopted?.toISOString()],
    ['list', record.list && `${record.list.sha256} ${record.list.bytes}`],
    ['whole', record.increment?.whole],
    ['link', record.increment?.link.toString()],
    ['deleted', record.increment?.deleted.toString()],
    ...(record.changed ?? []).map((path): [string, string] => ['changed', path]),
    ...(record.sources ?? []).map((source): [string, string] => ['source', JSON.stringify(source)]),
    ...(record.warnings ?? []).map((warning): [string, string] => ['warning', JSON.stringify(warning)]),
  ]
  const comments = lines.flatMap(([name, value]) => (value === undefined ? [] : [`# ${name}: ${value}\n`]))
  const digests = [record, ...(record.increment ? [record.increment.base] : [])]
  return `${comments.join('')}${digests.map(({ sha256, archive }) => `${sha256}  ${archive}\n`).join('')}`
}

/** Reads what makeRecord or `sha256sum` wrote. Undefined unless it is the record of exactly one archive. */
export function readRecord(text: string): ArchiveRecord | undefined {
  const record: Partial<ArchiveRecord> = {}
  const increment: Partial<Increment> = {}
  for (const line of text.split('\n')) {
    const comment = /^# (\w+): ([^\r]*)$/.exec(line)
    const digest = /^([0-9a-f]{64}) [ *]([^\r]+)$/.exec(line)
    if (comment) readComment(record, increment, comment[1] ?? '', comment[2] ?? '')
    else if (digest && record.sha256 === undefined)
      [, record.sha256, record.archive] = digest as unknown as [string, string, string]
    else if (digest && increment.base === undefined)
      increment.base = { sha256: digest[1] as string, archive: digest[2] as string }
    else if (line !== '' && !line.startsWith('#')) return undefined
  }
  const { sha256, archive, item } = record
  if (sha256 === undefined || archive === undefined) return undefined
  // Renamed to pass for another item's.
  if (item !== undefined && archive.endsWith('.tar.gz') && !readArchiveName(item, archive)) return undefined
  if (Object.keys(increment).length > 0) {
    // Two archives, or an increment's record that lost a line: neither may pass for a whole one's.
    const { base, whole, link, deleted } = increment
    if (!base || whole === undefined || link === undefined || deleted === undefined) return undefined
    if (base.archive === archive) return undefined
    record.increment = { base, whole, link, deleted }
  }
  return record as ArchiveRecord
}

function readComment(
  record: Partial<ArchiveRecord>,
  increment: Partial<Increment>,
  name: string,
  value: string,
): void {
  switch (name) {
    case 'item':
    case 'host':
    case 'environment':
    case 'fingerprint':
    case 'content':
    case 'tar':
    case 'original':
      record[name] = value
      break
    case 'time':
    case 'adopted': {
      const time = readTime(value)
      if (time !== undefined) record[name] = time
      break
    }
    case 'list': {
      const [, sha256, bytes] = /^([0-9a-f]{64}) (\d{1,15})$/.exec(value) ?? []
      if (sha256 !== undefined) record.list = { sha256, bytes: Number(bytes) }
      break
    }
    case 'whole':
      increment.whole = value
      break
    case 'link':
      if (/^[1-9]\d{0,5}$/.test(value)) increment.link = Number(value)
      break
    case 'deleted':
      if (/^\d{1,15}$/.test(value)) increment.deleted = Number(value)
      break
    case 'bytes':
      if (/^\d+$/.test(value)) record.bytes = Number(value)
      break
    case 'source': {
      const source = readSource(value)
      if (source !== undefined) record.sources = [...(record.sources ?? []), source]
      break
    }
    case 'warning': {
      const warning = readWarning(value)
      if (warning !== undefined) record.warnings = [...(record.warnings ?? []), warning]
      break
    }
    case 'changed':
      record.changed ??= []
      record.changed.push(value)
  }
}

function readSource(text: string): SourceSize | undefined {
  const { source, files, bytes } = fieldsOf(text)
  const fits = typeof source === 'string' && Number.isSafeInteger(files) && Number.isSafeInteger(bytes)
  return fits ? { source, files: files as number, bytes: bytes as number } : undefined
}

/** Undefined for a kind that this version does not know. */
function readWarning(text: string): Warning | undefined {
  const { kind, path, tags } = fieldsOf(text)
  if (!Object.hasOwn(warningKinds, String(kind)) || typeof path !== 'string') return undefined
  if (kind === 'named by digest') return { kind, path, tags: Array.isArray(tags) ? tags.map(String) : [] }
  return { kind, path } as Warning
}

function fieldsOf(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text))
  } catch {
    return {}
  }
}

const warningKinds: Record<Warning['kind'], true> = {
  device: true,
  socket: true,
  'name too long': true,
  'path too long': true,
  'other file system': true,
  unreadable: true,
  hangs: true,
  closed: true,
  'source is a link': true,
  'torn database': true,
  changed: true,
  'named by digest': true,
  'future time': true,
}
