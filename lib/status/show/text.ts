import { isWrong } from '../../cli/finding.ts'
import { stores } from '../../inventory.ts'
import { ageInWords, bytesInWords, inColumns, minuteOf, printable, someOf } from '../../text.ts'
import type { Assessment } from '../judge/assess.ts'
import type { Cell } from '../judge/cell.ts'
import { hoursInWords } from '../judge/expected.ts'
import type { StatusFinding } from '../judge/finding.ts'

/** The whole status for a terminal: actions first, the verdict at both ends. `quiet`: only actions. */
export function statusText(state: Assessment, quiet = false): string {
  const alarms = state.findings.filter(isWrong)
  if (quiet) return alarms.flatMap(findingLines).join('\n')
  const known = state.findings.filter((finding) => !isWrong(finding))
  return [
    `Backups of ${state.environment}, ${minuteOf(state.at)} UTC: ${verdict(state)}`,
    section('Action needed', alarms.flatMap(findingLines)),
    section('Notes', [...known.flatMap(findingLines), ...state.notes.map((note) => `  ${printable(note)}`)]),
    section('Muted while Verda is off', state.quiet.flatMap(findingLines)),
    section('Coverage, and when each was last known to be safe', coverage(state)),
    section('Newest backup in each store', details(state)),
    section('Runs', runs(state)),
    section('Disaster recovery', recovery(state)),
    section('Space', room(state)),
    section('Object storage', growth(state)),
    verdict(state),
  ]
    .filter((text) => text !== '')
    .join('\n\n')
}

export function statusJson(state: Assessment) {
  const withAlarm = (finding: StatusFinding) => ({ ...finding, alarm: isWrong(finding) })
  return { ...state, findings: state.findings.map(withAlarm), quiet: state.quiet.map(withAlarm) }
}

/** One line: whether everything could be restored right now. */
export function verdict(state: Assessment): string {
  const warnings = state.findings.filter(({ trouble }) => trouble === 'warning').length
  const but =
    warnings > 0 ? ` but for what ${warnings} ${warnings === 1 ? 'warning says' : 'warnings say'}` : ''
  if (isWhole(state)) {
    const unread = state.cells.filter(({ copies }) => copies > 0).every(({ verified }) => !verified)
    const given = unread ? ' if nothing rotted since it was stored: verify has read nothing yet' : ''
    return `ALL GOOD${but}, everything could be restored right now${given}`
  }
  if (state.ok) return 'PARTLY CHECKED: no problem found in the stores that were checked'
  const count = state.findings.filter(isWrong).length
  return `ACTION NEEDED: ${count} ${count === 1 ? 'problem' : 'problems'}`
}

/** Whether everything was seen and is good. */
export function isWhole({ ok, shelves, cells }: Assessment): boolean {
  return (
    ok && shelves.every(({ state }) => state === 'seen') && cells.every(({ state }) => state !== 'unknown')
  )
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${title}\n${lines.join('\n')}`
}

function findingLines(finding: StatusFinding): string[] {
  const { trouble, what, todo } = finding
  const kind = isWrong(finding) ? trouble.toUpperCase() : trouble
  return [`  ${kind}: ${printable(what)}`, `      ${printable(todo)}`]
}

function coverage({ cells, at }: Assessment): string[] {
  const columns = [...new Set(cells.map(({ store }) => store))]
  const header = ['', ...columns.map(titleOf)]
  const rows = [...new Set(cells.map(({ item }) => item))].map((item) => [
    item,
    ...columns.map((store) => {
      const cell = cells.find((one) => one.item === item && one.store === store)
      return cell ? cellInWords(cell, at) : '-'
    }),
  ])
  return inColumns([header, ...rows], '  ')
}

function details({ cells }: Assessment): string[] {
  const rows = cells
    .filter(({ newest }) => newest)
    .map((cell) => [
      titleOf(cell.store),
      cell.newest?.key ?? '',
      minuteOf(cell.newest?.time as Date),
      sizeInWords(cell),
      verifiedInWords(cell),
      scheduleInWords(cell),
      cell.graceHours === undefined ? '' : `${cell.graceHours} h`,
      `${copiesInWords(cell)}, ${bytesInWords(cell.bytes)}`,
    ])
  return rows.length === 0
    ? []
    : inColumns(
        [
          ['store', 'archive', 'made (UTC)', 'size', 'read back', 'by cron (UTC)', 'overdue after', 'copies'],
          ...rows,
        ],
        '  ',
      )
}

function runs({ commands, nextRuns, at }: Assessment): string[] {
  const told = commands.map(({ command, last, lastOk, lastSafe }) => [
    command,
    last
      ? `${last.ok ? 'ok' : 'FAILED'} ${minuteOf(last.time)}, ${ageInWords(last.time, at)} ago`
      : 'no report found',
    last && !last.ok ? `last good run: ${lastOk ? minuteOf(lastOk) : 'none found'}` : '',
    lastSafe ? `last safe to shut down: ${minuteOf(lastSafe)}` : '',
  ])
  const due = nextRuns.map(({ host, command, flags, time }) => [
    `next ${minuteOf(time)}`,
    `${command} ${flags}`.trim(),
    `by cron on ${host}`,
  ])
  return [...inColumns(told, '  '), ...inColumns(due, '  ')]
}

function recovery({ recovery: assets, at }: Assessment): string[] {
  return assets.flatMap(({ asset, backup, time, location, copies }) => {
    const age = time ? `, ${ageInWords(time, at)} old` : '; its age cannot be seen from here'
    const head = `  ${asset}: ${backup}${age} (${location})`
    if (!copies) return [head]
    const words = {
      yes: 'promise kept',
      no: 'PROMISE NOT KEPT',
      unknown: 'the rest cannot be seen from here',
    }
    const places = copies.places.map(({ place, state, what }) => [place, state, what])
    return [
      `${head}: ${copies.seen} of ${copies.promised} copies seen, ${words[copies.held]}`,
      ...inColumns(places, '      '),
    ]
  })
}

function room({ room: rooms, movable }: Assessment): string[] {
  const lines = rooms.map(
    (one) =>
      `  ${one.title}: ${bytesInWords(one.freeBytes)} free of ${bytesInWords(one.totalBytes)}, ${lastsInWords(one)}`,
  )
  if (movable.length === 0) return lines
  const bytes = movable.reduce((sum, one) => sum + one.bytes, 0)
  const keys = someOf(
    movable.map(({ key }) => printable(key)),
    6,
  )
  return [
    ...lines,
    `  On Mello ${movable.length} older copies (${bytesInWords(bytes)}) are also on R2, read back there and identical: they can be moved away: ${keys}`,
  ]
}

function growth({ growth: buckets, price }: Assessment): string[] {
  if (buckets.length === 0) return []
  const rows = buckets.map(({ title, objects, bytes, bytesPerMonth, since }) => [
    title,
    `${objects} objects`,
    `${bytesInWords(bytes)}${since ? ` since ${since.toISOString().slice(0, 10)}` : ''}`,
    `+ ${bytesAMonth(bytesPerMonth)}`,
  ])
  const cost = price
    ? [
        `  R2 costs about ${dollars(price.now)} a month, and ${dollars(price.morePerMonth)} more with every month at this rate`,
      ]
    : []
  return [...inColumns(rows, '  '), ...cost]
}

export function lastsInWords({ daysUntilFull: days, bytesPerDay }: Assessment['room'][number]): string {
  if (days === undefined) return 'it does not grow'
  return days > 3650
    ? 'enough for years'
    : `full in ${days} days at ${bytesInWords(Math.round(bytesPerDay))} a day`
}

export function titleOf(store: string): string {
  return stores[store as keyof typeof stores]?.title ?? 'git'
}

/** The names of a cell's states; those that need action are in capitals, to be seen without colours. */
export const stateWords: Record<Cell['state'], string> = {
  fresh: 'ok',
  'by hand': 'by hand',
  overdue: 'OVERDUE',
  missing: 'MISSING',
  absent: 'nothing there',
  unknown: 'not seen',
}

/** `ok, 55 min` */
function cellInWords({ state, freshAt, asOf }: Cell, now: Date): string {
  const age = freshAt && state !== 'missing' ? `, ${ageInWords(freshAt, now)}` : ''
  const then = asOf < now && state !== 'unknown' ? ' (as last seen)' : ''
  return stateWords[state] + age + then
}

/** `1.2 MB, on 36 before` */
function sizeInWords({ newest, links = 1 }: Cell): string {
  return `${bytesInWords(newest?.bytes ?? 0)}${links > 1 ? `, on ${links - 1} before` : ''}`
}

/** When its newest archive, or an older one, was last read back and found good. */
export function verifiedInWords({ store, verified, newest }: Cell): string {
  if (store === 'git') return ''
  if (!verified?.good) return 'never'
  const { key, at } = verified.good
  return `${at.slice(0, 10)}${key === newest?.key ? '' : ' (older)'}`
}

/** `every hour`, `at 2, 6, 14, 18 h`, `by hand` */
export function scheduleInWords({ hours }: Cell): string {
  return hours === undefined ? 'by hand' : hoursInWords(hours)
}

/** `12 (3 different), would keep 9` */
export function copiesInWords({ copies, contents, kept, store, since }: Cell): string {
  const different = contents < copies ? ` (${contents} different)` : ''
  const rule =
    kept === undefined || kept === copies ? '' : `, ${store === 'sfs' ? 'keeps' : 'would keep'} ${kept}`
  const from = since ? ` since ${since.toISOString().slice(0, 10)}` : ''
  return `${copies}${different}${rule}${from}`
}

export function dollars(amount: number): string {
  return `$${amount.toFixed(2)}`
}

export function bytesAMonth(bytes: number): string {
  return `${bytesInWords(Math.round(bytes))} a month`
}
