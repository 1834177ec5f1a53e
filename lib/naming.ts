import dayjs from 'dayjs'
import customParseFormat from 'dayjs/plugin/customParseFormat.js'
import utc from 'dayjs/plugin/utc.js'

/** How precise a stamp is. Backups have the day; hourly ones, and a second one on a day, have more. */
export type StampUnit = 'day' | 'hour' | 'minute'

/** A UTC time in a name: `YYYY-MM-DD`, `YYYY-MM-DD-HH` or `YYYY-MM-DD-HH-MM`, from 2000 to 2099. */
export type Stamp = string & { readonly __brand: 'Stamp' }

/** What a file name tells about an archive. The older scripts overwrote one `-latest`, without a time. */
export type ArchiveName = { kind: 'dated'; stamp: Stamp } | { kind: 'latest' }

/**
 * The name of an archive of `item` (facts: `<name>-<YYYY-MM-DD>.tar.gz`). No two items share a name, because
 * no stamp ends with another. Throws RangeError unless `item` is of lower-case letters, digits, `.`, `_` and
 * `-`, starting with a letter or digit.
 */
export function archiveName(item: string, stamp: Stamp): string {
  return `${checkName(item)}-${stamp}${ARCHIVE}`
}

/** Reads a base name. Undefined for anything but an archive of exactly `item`. Never throws. */
export function readArchiveName(item: string, file: string): ArchiveName | undefined {
  const prefix = `${item}-`
  if (!NAME.test(item) || !file.startsWith(prefix) || !file.endsWith(ARCHIVE)) return undefined
  const middle = file.slice(prefix.length, -ARCHIVE.length)
  if (middle === 'latest') return { kind: 'latest' }
  const stamp = readStamp(middle)
  return stamp && { kind: 'dated', stamp }
}

/** The name or key of an archive's record. */
export function recordName(archive: string): string {
  return archive + RECORD
}

/** The archive (or key) that a record belongs to; undefined for any other name. */
export function archiveOfRecord(file: string): string | undefined {
  if (!file.endsWith(RECORD)) return undefined
  const archive = file.slice(0, -RECORD.length)
  return archive === '' || archive.endsWith('/') || archive.endsWith(RECORD) ? undefined : archive
}

/** Names for changed content of a model, best first: `<folder>/<stem>-<YYYY-MM-DD>.safetensors`, by hour. */
export function modelLadder(model: string, now: Date): string[] {
  const dot = model.lastIndexOf('.')
  return UNITS.map((unit) => `${model.slice(0, dot)}-${makeStamp(now, unit)}${model.slice(dot)}`)
}

/** The model (by path or key) that a ladder name may belong to; only its record is proof. */
export function modelBehind(key: string): string | undefined {
  const [, stem, stamp, extension] = /^(.+?)-(20\d\d-\d\d-\d\d(?:-\d\d){0,2})(\.[^./]+)$/s.exec(key) ?? []
  return stamp && readStamp(stamp) && `${stem}${extension}`
}

/** Names for new content of `item` where nothing is overwritten, best first: by `base`, hour, minute. */
export function ladder(item: string, now: Date, base: StampUnit): { stamp: Stamp; name: string }[] {
  return UNITS.slice(UNITS.indexOf(base)).map((unit) => {
    const stamp = makeStamp(now, unit)
    return { stamp, name: archiveName(item, stamp) }
  })
}

/** The stamp of the UTC day, hour or minute of `time`. Throws RangeError outside the years 2000 to 2099. */
export function makeStamp(time: Date, unit: StampUnit): Stamp {
  return timeText(checkTime(time), LENGTH[unit]) as Stamp
}

/** Undefined if `text` is no stamp or no real date. */
export function readStamp(text: string): Stamp | undefined {
  return STAMP.test(text) && isInCalendar(text) ? (text as Stamp) : undefined
}

/** The start of a stamp's day, hour or minute. */
export function stampTime(stamp: Stamp): Date {
  return textTime(stamp)
}

export function stampUnit(stamp: Stamp): StampUnit {
  return UNITS.find((unit) => LENGTH[unit] === stamp.length) as StampUnit
}

/** Sorts by time, then coarser first: the same order as their texts. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** The key of a run's report. Throws RangeError for a bad `command`, or outside the years 2000 to 2099. */
export function runReportName(command: string, time: Date): string {
  return `runs/${checkName(command)}-${timeText(checkTime(time), 'YYYY-MM-DD-HH-MM-SS'.length)}.json`
}

/** Reads a run report's key; `time` is to the second. Undefined for any other key. */
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
  throw new RangeError(`names hold the years 2000 to 2099, and this is ${year}: is the clock right?`)
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

/** Whether a text like `YYYY-MM-DD…` is a real date. Arithmetic, because listings ask for thousands. */
function isInCalendar(text: string): boolean {
  const [month, day] = [twoDigits(text, 5), twoDigits(text, 8)]
  const days = month === 2 && yearOf(text) % 4 === 0 ? 29 : (DAYS[month - 1] ?? 0)
  const isTime = twoDigits(text, 11) < 24 && twoDigits(text, 14) < 60 && twoDigits(text, 17) < 60
  return day >= 1 && day <= days && isTime
}

/** Every fourth year from 2000 to 2099 is a leap year. */
const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

function yearOf(text: string): number {
  return twoDigits(text, 0) * 100 + twoDigits(text, 2)
}

/** 0 after the end of a shorter text. */
function twoDigits(text: string, place: number): number {
  if (text.length < place + 2) return 0
  return (text.charCodeAt(place) - 48) * 10 + text.charCodeAt(place + 1) - 48
}

dayjs.extend(utc)
dayjs.extend(customParseFormat)

const formats = ['YYYY-MM-DD', 'YYYY-MM-DDTHH:mm', 'YYYY-MM-DDTHH:mm:ss', 'YYYY-MM-DDTHH:mm:ss.SSS']

/** A real ISO time, UTC unless it has an offset; undefined for anything else or outside years 0 to 9999. */
export function readTime(text: string): Date | undefined {
  // The form that this program writes: records and reports are read by the thousand.
  const written = new Date(text)
  if (!Number.isNaN(written.getTime()) && written.toISOString() === text) return written
  const [, local = '', sign, hours = '0', minutes = '0'] =
    /^(.*?)(?:Z|([+-])(\d{2}):(\d{2}))?$/.exec(text) ?? []
  const time = formats.map((format) => dayjs.utc(local, format, true)).find((parsed) => parsed.isValid())
  if (time === undefined || Number(hours) > 14 || Number(minutes) > 59) return undefined
  const ahead = (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes))
  const utcTime = time.subtract(ahead, 'minute').toDate()
  return /^\d{4}-/.test(utcTime.toISOString()) ? utcTime : undefined
}

/** A key without its folder. */
export function nameOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

/** What keys of an environment start with: nothing in production, otherwise its name and a slash. */
export function environmentFolder(environment: string): string {
  return environment === 'production' ? '' : `${environment}/`
}
