/**
 * How much of the time a stamp tells. Backups are dated by the day; a second one of a day, and hourly ones,
 * say more.
 */
export type StampUnit = 'day' | 'hour' | 'minute'

/**
 * A UTC time as it stands in a name: `YYYY-MM-DD`, `YYYY-MM-DD-HH` or `YYYY-MM-DD-HH-MM`, a real date of 2000
 * to 2099.
 */
export type Stamp = string & { readonly __brand: 'Stamp' }

/**
 * What a file name says of an archive. The older scripts overwrote one `-latest` file, which tells no time.
 */
export type ArchiveName = { kind: 'dated'; stamp: Stamp } | { kind: 'latest' }

/**
 * The name of the archive of `item` that `stamp` dates (the facts: `<name>-<YYYY-MM-DD>.tar.gz`). No two
 * items share a name, because no stamp is the end of another. Throws RangeError when `item` is no item name:
 * lower-case letters, digits, `.`, `_` and `-`, a letter or digit first.
 */
export function archiveName(item: string, stamp: Stamp): string {
  return `${checkName(item)}-${stamp}${ARCHIVE}`
}

/**
 * Reads a base name. Only what is exactly an archive of `item` is one; for anything else, undefined. Never
 * throws.
 */
export function readArchiveName(item: string, file: string): ArchiveName | undefined {
  const prefix = `${item}-`
  if (!NAME.test(item) || !file.startsWith(prefix) || !file.endsWith(ARCHIVE)) return undefined
  const middle = file.slice(prefix.length, -ARCHIVE.length)
  if (middle === 'latest') return { kind: 'latest' }
  const stamp = readStamp(middle)
  return stamp && { kind: 'dated', stamp }
}

/** The name, or key, of the record that lies beside an archive. */
export function recordName(archive: string): string {
  return archive + RECORD
}

/** The archive, or its key, that a record's name speaks of; undefined when `file` is not a record's name. */
export function archiveOfRecord(file: string): string | undefined {
  if (!file.endsWith(RECORD)) return undefined
  const archive = file.slice(0, -RECORD.length)
  return archive === '' || archive.endsWith('/') || archive.endsWith(RECORD) ? undefined : archive
}

/**
 * The names that content of `item` may take at `now` on a store where nothing is overwritten, first choice
 * first: dated by `base`, then by the hour, then by the minute.
 */
export function ladder(item: string, now: Date, base: StampUnit): { stamp: Stamp; name: string }[] {
  return UNITS.slice(UNITS.indexOf(base)).map((unit) => {
    const stamp = makeStamp(now, unit)
    return { stamp, name: archiveName(item, stamp) }
  })
}

/**
 * The stamp of the UTC day, hour or minute that holds `time`. Throws RangeError outside the years 2000 to
 * 2099.
 */
export function makeStamp(time: Date, unit: StampUnit): Stamp {
  return timeText(checkTime(time), LENGTH[unit]) as Stamp
}

/** Undefined when `text` is not a stamp, which includes dates that no calendar has. */
export function readStamp(text: string): Stamp | undefined {
  return STAMP.test(text) && isInCalendar(text) ? (text as Stamp) : undefined
}

/** The start of the day, hour or minute that a stamp names. */
export function stampTime(stamp: Stamp): Date {
  return textTime(stamp)
}

export function stampUnit(stamp: Stamp): StampUnit {
  return UNITS.find((unit) => LENGTH[unit] === stamp.length) as StampUnit
}

/** Orders by time, then the coarser first: which is how their texts are ordered. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/**
 * The key under which a store keeps the report of a run that began at `time`. Throws RangeError when
 * `command` is no name, or outside the years 2000 to 2099.
 */
export function runReportName(command: string, time: Date): string {
  return `runs/${checkName(command)}-${timeText(checkTime(time), 'YYYY-MM-DD-HH-MM-SS'.length)}.json`
}

/** Reads a run report's key; `time` is to the second. Undefined for every other key. */
export function readRunReportName(key: string): { command: string; time: Date } | undefined {
  const [, command, text] = RUN_REPORT.exec(key) ?? []
  if (command === undefined || text === undefined) return undefined
  return isInCalendar(text) ? { command, time: textTime(text) } : undefined
}

const ARCHIVE = '.tar.gz'
const RECORD = '.sha256'
const UNITS: StampUnit[] = ['day', 'hour', 'minute']
const LENGTH = { day: 'YYYY-MM-DD'.length, hour: 'YYYY-MM-DD-HH'.length, minute: 'YYYY-MM-DD-HH-MM'.length }

const NAME = /^[a-z0-9][a-z0-9._-]*$/
const STAMP = /^20\d\d-\d\d-\d\d(?:-\d\d(?:-\d\d)?)?$/
const RUN_REPORT = /^runs\/([a-z0-9][a-z0-9._-]*)-(20\d\d(?:-\d\d){5})\.json$/

function checkName(name: string): string {
  if (NAME.test(name)) return name
  throw new RangeError(
    `${JSON.stringify(name)} cannot be part of a file name: lower-case letters, digits, ".", "_" and "-" only`,
  )
}

function checkTime(time: Date): Date {
  const year = time.getUTCFullYear()
  if (year >= 2000 && year <= 2099) return time
  throw new RangeError(`names tell times of 2000 to 2099, and this is ${year}: is the clock right?`)
}

/** The first `length` characters of `YYYY-MM-DD-HH-MM-SS`, UTC. */
function timeText(time: Date, length: number): string {
  return time.toISOString().slice(0, length).replace(/[T:]/g, '-')
}

/** The inverse of `timeText`. */
function textTime(text: string): Date {
  const [hour, minute, second] = [twoDigits(text, 11), twoDigits(text, 14), twoDigits(text, 17)]
  return new Date(Date.UTC(yearOf(text), twoDigits(text, 5) - 1, twoDigits(text, 8), hour, minute, second))
}

/** Whether a text of the form `YYYY-MM-DD…` is a time that there is. Counted out, because every listing asks it of thousands. */
function isInCalendar(text: string): boolean {
  const [month, day] = [twoDigits(text, 5), twoDigits(text, 8)]
  const days = month === 2 && yearOf(text) % 4 === 0 ? 29 : (DAYS[month - 1] ?? 0)
  const isTime = twoDigits(text, 11) < 24 && twoDigits(text, 14) < 60 && twoDigits(text, 17) < 60
  return day >= 1 && day <= days && isTime
}

/** Of 2000 to 2099, in which every fourth year is a leap year. */
const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

function yearOf(text: string): number {
  return twoDigits(text, 0) * 100 + twoDigits(text, 2)
}

/** 0 behind the end of a shorter text. */
function twoDigits(text: string, place: number): number {
  if (text.length < place + 2) return 0
  return (text.charCodeAt(place) - 48) * 10 + text.charCodeAt(place + 1) - 48
}
