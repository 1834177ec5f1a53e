import { type CommandName, items, type StoreName, stores } from '../inventory.ts'
import { type Cell, cellOf, clockToleranceMs, unknownCell } from './cell.ts'
import { type Assessed, cellFindings } from './cell-findings.ts'
import { type Contents, contentsOf } from './contents.ts'
import { assessCredentials } from './credentials.ts'
import { type Expected, expectedOf } from './expected.ts'
import { checks, type Finding, type Trouble } from './finding.ts'
import { type Growth, growthOfBuckets, type Price, priceOf } from './growth.ts'
import { modelsCell } from './models-cell.ts'
import { type Movable, movableOf } from './movable.ts'
import { type Asset, recoveryOf } from './recovery.ts'
import { type Room, roomFindings, roomOf } from './room.ts'
import { runFindings } from './run-findings.ts'
import { type Runs, runsOf, type UnreadReport } from './runs.ts'
import { type CronRun, type NextRun, nextRuns } from './schedule.ts'
import type { Seen, SeenShelf } from './seen.ts'
import { liveModelFindings, shelfFindings, unreachableFindings } from './shelf-findings.ts'

/** What one look says. `ok`: nothing needs a person, and everything that was asked for could be looked at. */
export interface Assessment {
  environment: string
  at: Date
  ok: boolean
  /** Alarms first. */
  findings: Finding[]
  /** What raises no alarm while Verda is off on purpose. */
  quiet: Finding[]
  /** To be known, and nothing wrong. */
  notes: string[]
  checks: { question: string; answer: 'yes' | 'no' | 'look' }[]
  shelves: {
    store: StoreName
    title: string
    state: SeenShelf['state']
    at: Date
    files: number
    bytes: number
  }[]
  cells: Cell[]
  commands: CommandState[]
  nextRuns: NextRun[]
  recovery: Asset[]
  room: Room[]
  movable: Movable[]
  growth: Growth[]
  price?: Price
  verdaOff?: { since: Date; answers: boolean }
  /** Days on which a run of each command was reported, by store: names of reports alone, so without their outcome. */
  runDays: { command: string; store: StoreName; days: string[] }[]
}

export interface CommandState {
  command: CommandName
  last?: { time: Date; ok: boolean }
  lastOk?: Date
  /** The newest run of backup-verda that said SAFE TO SHUT DOWN. */
  lastSafe?: Date
}

/** Holds what was seen against the inventory. Pure: the same look gives the same answer. */
export function assess(seen: Seen, cron: readonly CronRun[] = []): Assessment {
  const used = [...new Set(seen.shelves.map(({ store }) => store))]
  const expected = expectedOf(seen.environment, used)
  const shown = seen.shelves.filter(({ state }) => state === 'seen' || state === 'remembered')
  const contents = shown.map((shelf) => contentsOf(shelf, expected, seen.environment))
  const runs = runsOf(
    shown
      .flatMap(({ store, texts }) => Object.entries(texts).map(([key, text]) => ({ key, text, from: store })))
      .filter(({ key }) => key.endsWith('.json')),
    unreadOf(contents),
  )
  const assessed = expected.map((one) => assessOne(one, contents, runs, seen))
  const credentials = assessCredentials(seen, runs)
  const cells = [...assessed.map(({ cell }) => cell), ...credentials.map(({ cell }) => cell)]
  const room = roomOf(seen.shelves, cells)
  const limit = new Date(seen.now.getTime() + clockToleranceMs)
  const inRepository = credentials.map(({ item }) => ({
    item,
    store: 'git' as const,
    commands: ['backup-mello'],
  }))
  const all = [
    ...unreachableFindings(seen.shelves),
    ...liveModelFindings(seen.models),
    ...cellFindings(assessed),
    ...credentials.flatMap(({ findings }) => findings),
    ...runFindings(runs, [...expected, ...inRepository], limit),
    ...contents.flatMap((one) => shelfFindings(one, seen.drill)),
    ...roomFindings(room, cells),
  ]
  const isQuiet = (finding: Finding) => seen.verdaOff?.answers === false && needsVerda(finding, seen)
  const findings = inOrder(all.filter((finding) => !isQuiet(finding)))
  const growth = growthOfBuckets(contents)
  const price = priceOf(growth)
  return {
    environment: seen.environment,
    at: seen.now,
    ok: findings.every(({ alarm }) => !alarm),
    findings,
    quiet: all.filter(isQuiet),
    notes: notesOf(seen, contents, runs),
    checks: checklist(findings),
    shelves: seen.shelves.map(({ store, title, state, at, files }) => ({
      store,
      title,
      state,
      at,
      files: files.length,
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    })),
    cells,
    commands: commandStates(runs, limit),
    nextRuns: nextRuns(cron, seen.now),
    recovery: recoveryOf(cells, seen.models),
    room,
    movable: movableOf(contents),
    growth,
    ...(price && { price }),
    ...(seen.verdaOff && { verdaOff: seen.verdaOff }),
    runDays: runDaysOf(contents),
  }
}

/** The reports that lie in each store and were not read. */
function unreadOf(contents: readonly Contents[]): UnreadReport[] {
  return contents.flatMap(({ shelf, reports }) =>
    reports
      .filter(({ key }) => !(key in shelf.texts))
      .map(({ command, time }) => ({ command, time, store: shelf.store })),
  )
}

function assessOne(expected: Expected, contents: readonly Contents[], runs: Runs, seen: Seen): Assessed {
  for (const { shelf, archives, models } of contents) {
    const archive = archives.find((one) => one.expected === expected)
    if (archive) return { expected, ...cellOf(expected, shelf, archive.copies, runs) }
    const model = models.find((one) => one.expected === expected)
    if (model) {
      const { cell, flaws } = modelsCell(expected, shelf, model.files, runs, seen.models)
      return { expected, cell, modelFlaws: flaws }
    }
  }
  return { expected, cell: unknownCell(expected, runs, seen.now) }
}

/** While Verda is off, what comes from it grows old, and what looks for it fails: nothing that anybody else could mend. */
function needsVerda({ trouble, store, items: names }: Finding, seen: Seen): boolean {
  if (trouble === 'unreachable') return store === 'sfs'
  if (trouble === 'failed run' && names.length === 0) return false
  if (trouble !== 'overdue' && trouble !== 'failed run') return false
  const hostOf = (name: string) => items.find((item) => item.name === name)?.host
  return names.every(
    (name) => hostOf(name) === 'verda' || (hostOf(name) === 'user data' && seen.userDataHost === 'verda'),
  )
}

function inOrder(findings: readonly Finding[]): Finding[] {
  const order = Object.keys(checks)
  return [...findings].sort(
    (a, b) => Number(b.alarm) - Number(a.alarm) || order.indexOf(a.trouble) - order.indexOf(b.trouble),
  )
}

function checklist(findings: readonly Finding[]): Assessment['checks'] {
  return (Object.entries(checks) as [Trouble, string][]).map(([trouble, question]) => {
    const own = findings.filter((finding) => finding.trouble === trouble)
    return { question, answer: own.some(({ alarm }) => alarm) ? 'no' : own.length > 0 ? 'look' : 'yes' }
  })
}

function notesOf({ shelves, verdaOff, now }: Seen, contents: readonly Contents[], runs: Runs): string[] {
  const leftOut = [
    ...new Set(shelves.filter(({ state }) => state === 'left out').map(({ store }) => stores[store].title)),
  ]
  const latest = contents.filter((one) => one.latest.length > 0)
  return [
    ...(leftOut.length > 0 ? [`Not looked at, because --stores leaves it out: ${leftOut.join(', ')}.`] : []),
    ...(verdaOff ? [offNote(verdaOff, runs, now)] : []),
    ...latest.map(
      ({ shelf, latest: keys }) =>
        `${shelf.title} has ${keys.length} archives of the older scripts (…-latest.tar.gz): they tell no time, and are never touched.`,
    ),
  ]
}

function offNote({ since, answers }: NonNullable<Seen['verdaOff']>, runs: Runs, now: Date): string {
  const when = since.toISOString().slice(0, 16)
  if (answers && since < now)
    return `Verda was marked as off since ${when}Z. It answers again: the mark is gone.`
  if (answers)
    return `Verda is marked as off from now on. It still answers; the next look that reaches it takes the mark away.`
  const safe = runs.reports.find(({ safeToShutDown }) => safeToShutDown === true)
  const said = safe
    ? `backup-verda last said SAFE TO SHUT DOWN at ${safe.startedAt.toISOString().slice(0, 16)}Z`
    : 'no run that was read said SAFE TO SHUT DOWN'
  return `Verda is marked as off on purpose since ${when}Z: what only Verda can do raises no alarm until it answers again; ${said}.`
}

function commandStates({ reports }: Runs, limit: Date): CommandState[] {
  const names = [...new Set(items.flatMap(({ commands }) => Object.keys(commands)))] as CommandName[]
  return names.map((command) => {
    const own = reports.filter((report) => report.command === command && report.startedAt <= limit)
    const [last] = own
    const lastOk = own.find(({ ok }) => ok)?.startedAt
    const lastSafe = own.find(({ safeToShutDown }) => safeToShutDown)?.startedAt
    return {
      command,
      ...(last && { last: { time: last.startedAt, ok: last.ok } }),
      ...(lastOk && { lastOk }),
      ...(lastSafe && { lastSafe }),
    }
  })
}

function runDaysOf(contents: readonly Contents[]): Assessment['runDays'] {
  return contents.flatMap(({ shelf, reports }) =>
    [...new Set(reports.map(({ command }) => command))].map((command) => ({
      command,
      store: shelf.store,
      days: [
        ...new Set(
          reports.filter((one) => one.command === command).map(({ time }) => time.toISOString().slice(0, 10)),
        ),
      ],
    })),
  )
}
