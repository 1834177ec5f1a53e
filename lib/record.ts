import { readTime } from './time.ts'

/**
 * What stands beside an archive and makes it a backup: `<archive>.sha256`, written last, readable by `sha256sum -c`.
 * A record from another hand may have fewer of the comment lines; the archive's name then says what is missing.
 */
export interface ArchiveRecord {
  /** The archive's name, without folder. */
  archive: string
  /** Of the archive as stored, lower-case hex. */
  sha256: string
  item?: string
  host?: string
  environment?: string
  /** When the sources were read: the truth about when, before the stamp in the name. */
  time?: Date
  bytes?: number
  /** Digest over what the sources looked like, for telling whether they changed since. */
  fingerprint?: string
  /** Paths that changed while they were read, as tar prints them. */
  changed?: string[]
  /** When `verify --adopt` wrote this record for an archive that had none. The `time` is then the best guess there is. */
  adopted?: Date
}

/** The text of a record. Paths must hold no newline: tar's escaped form of them does not. */
export function makeRecord(record: ArchiveRecord): string {
  const lines: [string, string | undefined][] = [
    ['item', record.item],
    ['host', record.host],
    ['environment', record.environment],
    ['time', record.time?.toISOString()],
    ['bytes', record.bytes?.toString()],
    ['fingerprint', record.fingerprint],
    ['adopted', record.adopted?.toISOString()],
    ...(record.changed ?? []).map((path): [string, string] => ['changed', path]),
  ]
  const comments = lines.flatMap(([name, value]) => (value === undefined ? [] : [`# ${name}: ${value}\n`]))
  return `${comments.join('')}${record.sha256}  ${record.archive}\n`
}

/** Reads what makeRecord or `sha256sum` wrote. Undefined for a text that is no record of exactly one archive. */
export function readRecord(text: string): ArchiveRecord | undefined {
  const record: Partial<ArchiveRecord> = {}
  for (const line of text.split('\n')) {
    const comment = /^# (\w+): (.*)$/.exec(line)
    const digest = /^([0-9a-f]{64}) [ *](\S.*)$/.exec(line)
    if (comment) readComment(record, comment[1] ?? '', comment[2] ?? '')
    else if (digest && record.sha256 === undefined)
      [, record.sha256, record.archive] = digest as unknown as [string, string, string]
    else if (line !== '' && !line.startsWith('#')) return undefined
  }
  return record.sha256 === undefined ? undefined : (record as ArchiveRecord)
}

function readComment(record: Partial<ArchiveRecord>, name: string, value: string): void {
  switch (name) {
    case 'item':
    case 'host':
    case 'environment':
    case 'fingerprint':
      record[name] = value
      break
    case 'time':
    case 'adopted': {
      const time = readTime(value)
      if (time !== undefined) record[name] = time
      break
    }
    case 'bytes':
      if (/^\d+$/.test(value)) record.bytes = Number(value)
      break
    case 'changed':
      record.changed ??= []
      record.changed.push(value)
  }
}
