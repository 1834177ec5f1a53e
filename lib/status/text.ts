import { bytesInWords } from '../cli/words.ts'
import { stores } from '../inventory.ts'
import { inColumns, printable } from '../printable.ts'
import { ageInWords, minuteOf } from './age.ts'
import type { Assessment } from './assess.ts'
import { type Finding, someOf } from './finding.ts'
import { bytesAMonth, cellInWords, copiesInWords, dollars, scheduleInWords } from './words.ts'

/** The whole look for a terminal: what needs a person first. `quiet`: only that. */
export function statusText(state: Assessment, quiet = false): string {
  const alarms = state.findings.filter(({ alarm }) => alarm)
  if (quiet) return alarms.flatMap(findingLines).join('\n')
  const known = state.findings.filter(({ alarm }) => !alarm)
  return [
    `Backups of ${state.environment}, ${minuteOf(state.at)} UTC: ${verdict(state)}`,
    section('What needs a person', alarms.flatMap(findingLines)),
    section('To be known', [
      ...known.flatMap(findingLines),
      ...state.notes.map((note) => `  ${printable(note)}`),
    ]),
    section('Silent while Verda is off', state.quiet.flatMap(findingLines)),
    section('Everything, and when it was last known to be safe', coverage(state)),
    section('Newest backup in each place', details(state)),
    section('Runs', runs(state)),
    section('Disaster recovery', recovery(state)),
    section('Room', room(state)),
    section('Object storage', growth(state)),
  ]
    .filter((text) => text !== '')
    .join('\n\n')
}

/** One line: whether everything could be restored right now. */
export function verdict({ ok, findings, shelves }: Assessment): string {
  if (ok && shelves.every(({ state }) => state === 'seen'))
    return 'ALL GOOD, everything could be restored right now'
  if (ok) return 'NOTHING WRONG in what could be looked at; not everything was'
  const count = findings.filter(({ alarm }) => alarm).length
  return `${count} ${count === 1 ? 'THING NEEDS' : 'THINGS NEED'} A PERSON`
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${title}\n${lines.join('\n')}`
}

function findingLines({ trouble, alarm, what, todo }: Finding): string[] {
  return [`  ${alarm ? trouble.toUpperCase() : trouble}: ${printable(what)}`, `      ${printable(todo)}`]
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
      bytesInWords(cell.newest?.bytes ?? 0),
      scheduleInWords(cell),
      `${copiesInWords(cell)}, ${bytesInWords(cell.bytes)}`,
    ])
  return rows.length === 0
    ? []
    : inColumns([['store', 'archive', 'made (UTC)', 'size', 'by cron (UTC)', 'copies'], ...rows], '  ')
}

function runs({ commands, nextRuns, at }: Assessment): string[] {
  const told = commands.map(({ command, last, lastOk, lastSafe }) => [
    command,
    last
      ? `${last.ok ? 'ok' : 'FAILED'} ${minuteOf(last.time)}, ${ageInWords(last.time, at)} ago`
      : 'no run was read',
    last && !last.ok ? `last without a fault: ${lastOk ? minuteOf(lastOk) : 'none that was read'}` : '',
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
    const age = time ? `, ${ageInWords(time, at)} old` : ', of which nothing can be known from here'
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
  const lines = rooms.map(({ title, freeBytes, totalBytes, bytesPerDay, daysUntilFull }) => {
    const rate =
      daysUntilFull === undefined
        ? 'it does not grow'
        : daysUntilFull > 3650
          ? 'enough for years'
          : `full in ${daysUntilFull} days at ${bytesInWords(Math.round(bytesPerDay))} a day`
    return `  ${title}: ${bytesInWords(freeBytes)} free of ${bytesInWords(totalBytes)}, ${rate}`
  })
  if (movable.length === 0) return lines
  const bytes = movable.reduce((sum, one) => sum + one.bytes, 0)
  const keys = someOf(
    movable.map(({ key }) => printable(key)),
    6,
  )
  return [
    ...lines,
    `  On Mello ${movable.length} older copies (${bytesInWords(bytes)}) are on R2 with the same sha256, and could be moved away: ${keys}`,
  ]
}

function growth({ growth: buckets, price }: Assessment): string[] {
  if (buckets.length === 0) return []
  const rows = buckets.map(({ title, objects, bytes, bytesPerMonth }) => [
    title,
    `${objects} objects`,
    bytesInWords(bytes),
    `+ ${bytesAMonth(bytesPerMonth)}`,
  ])
  const cost = price
    ? [
        `  R2 asks about ${dollars(price.now)} a month, and ${dollars(price.morePerMonth)} more with every month at this rate`,
      ]
    : []
  return [...inColumns(rows, '  '), ...cost]
}

function titleOf(store: string): string {
  return stores[store as keyof typeof stores]?.title ?? 'git'
}
