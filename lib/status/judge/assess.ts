import { readVerified, type Verified } from '../../backup/verified.ts'
import { isWrong } from '../../cli/finding.ts'
import { type CommandName, items, type StoreName } from '../../inventory.ts'
import type { Seen, SeenShelf } from '../look/seen.ts'
import { cellOf } from './archives-cell.ts'
import { type Cell, clockToleranceMs, unknownCell } from './cell.ts'
import { type Contents, contentsOf } from './contents.ts'
import { assessCredentials } from './credentials.ts'
import { type BadDays, badDaysOf, type RunDays, runDaysOf } from './days.ts'
import { type CronRun, type Expected, expectedOf, type NextRun, nextRuns } from './expected.ts'
import { checks, type StatusFinding, type Trouble } from './finding.ts'
import {
  type Growth,
  growthOfBuckets,
  type Price,
  priceOf,
  type Room,
  roomFindings,
  roomOf,
} from './growth.ts'
import { modelsCell } from './models-cell.ts'
import { type Movable, movableOf } from './movable.ts'
import { notesOf } from './notes.ts'
import { type Assessed, cellFindings } from './of-cells.ts'
import { goneFindings, runFindings, warningFindings } from './of-runs.ts'
import {
  type LastVerify,
  liveModelFindings,
  lostFindings,
  shelfFindings,
  unreachableFindings,
} from './of-stores.ts'
import { type Asset, recoveryOf } from './recovery.ts'
import { type Runs, runsOf, type UnreadReport } from './runs.ts'

/** The result of one look. `ok`: no action is needed, and everything requested could be seen. */
export interface Assessment {
  environment: string
  at: Date
  ok: boolean
  /** Alarms first. */
  findings: StatusFinding[]
  /** What raises no alarm while Verda is off on purpose. */
  quiet: StatusFinding[]
  /** Worth knowing; nothing is wrong. */
  notes: string[]
  checks: { question: string; answer: 'yes' | 'no' | 'look' }[]
  shelves: {
    store: StoreName
    title: string
    state: SeenShelf['state']
    at: Date
    files: number
    bytes: number
    /** Older files are not all counted. */
    since?: Date
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
  runDays: RunDays[]
  badDays: BadDays[]
}

export interface CommandState {
  command: CommandName
  last?: { time: Date; ok: boolean }
  lastOk?: Date
  /** The newest run of backup-verda that reported SAFE TO SHUT DOWN. */
  lastSafe?: Date
}

/** Compares what was seen with the inventory. Pure: the same input gives the same result. */
export function assess(seen: Seen, cron: readonly CronRun[] = []): Assessment {
  const used = [...new Set(seen.shelves.map(({ store }) => store))]
  const expected = expectedOf(seen.environment, used)
  const shown = seen.shelves.filter(({ state }) => state === 'seen' || state === 'remembered')
  const contents = shown.map((shelf) => contentsOf(shelf, expected, seen.environment))
  const told = shown
    .flatMap(({ store, title: place, texts, files }) => {
      const modified = new Map(files.map((file) => [file.key, file.modified]))
      return Object.entries(texts).map(([key, text]) => ({
        key,
        text,
        from: store,
        place,
        // In a drill, reports and files have times of different clocks.
        modified: seen.drill ? undefined : modified.get(key),
      }))
    })
    .filter(({ key }) => key.endsWith('.json'))
  const runs = runsOf(told, unreadOf(contents))
  const runDays = runDaysOf(contents)
  const verifies = contents.flatMap(lastVerify)
  const verified = new Map(verifies.flatMap(({ store, read }) => (read ? [[store, read] as const] : [])))
  const assessed = expected.map((one) => assessOne(one, contents, runs, seen, verified.get(one.store)))
  const credentials = assessCredentials(seen, runs)
  const cells = [...assessed.map(({ cell }) => cell), ...credentials.map(({ cell }) => cell)]
  const room = roomOf(seen.shelves, cells)
  const limit = new Date(seen.now.getTime() + clockToleranceMs)
  // A store left out on purpose raises no alarm, whatever other stores report about it.
  const isWanted = new Set(seen.shelves.flatMap(({ state, store }) => (state === 'left out' ? [] : [store])))
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
    ...goneFindings(assessed, runs),
    ...warningFindings(assessed, runs),
    ...runFindings(runs, [...expected.filter(({ store }) => isWanted.has(store)), ...inRepository], limit),
    ...contents.flatMap(shelfFindings),
    ...verifies.flatMap(lostFindings),
    ...roomFindings(room, cells),
  ]
  const isQuiet = (finding: StatusFinding) => seen.verdaOff?.answers === false && needsVerda(finding, seen)
  const findings = inOrder(all.filter((finding) => !isQuiet(finding)))
  const growth = growthOfBuckets(contents)
  return {
    environment: seen.environment,
    at: seen.now,
    ok: !findings.some(isWrong),
    findings,
    quiet: all.filter(isQuiet),
    notes: notesOf(seen, contents, runs, cells),
    checks: checklist(findings),
    shelves: seen.shelves.map(({ store, title, state, at, files, since }) => ({
      store,
      title,
      state,
      at,
      files: files.length,
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      ...(since && { since: since.time }),
    })),
    cells,
    commands: commandStates(runs, limit),
    nextRuns: nextRuns(cron, seen.now),
    recovery: recoveryOf(cells, seen.models),
    room,
    movable: movableOf(contents, verified),
    growth,
    price: priceOf(growth),
    verdaOff: seen.verdaOff,
    runDays,
    badDays: badDaysOf(assessed, runsOf([...told, ...(seen.dailyReports ?? [])]), runDays, seen),
  }
}

/** `verify`'s latest readable result in each store, from that store only, and the newer unreadable ones. */
function lastVerify({ shelf, verified }: Contents): LastVerify[] {
  const limit = new Date(shelf.at.getTime() + clockToleranceMs)
  const keys = verified.filter(({ time }) => time <= limit).map(({ key }) => key)
  const reads = keys.map((key) => readVerified(shelf.texts[key] ?? ''))
  const at = reads.findIndex((read) => read?.store === shelf.store)
  const unread = at < 0 ? keys : keys.slice(0, at)
  return keys.length === 0
    ? []
    : [{ store: shelf.store, title: shelf.title, items: [], read: reads[at], unread }]
}

/** The reports in each store that were not read. */
function unreadOf(contents: readonly Contents[]): UnreadReport[] {
  return contents.flatMap(({ shelf, reports }) =>
    reports
      .filter(({ key }) => !(key in shelf.texts))
      .map(({ command, time }) => ({ command, time, store: shelf.store })),
  )
}

function assessOne(
  expected: Expected,
  contents: readonly Contents[],
  runs: Runs,
  seen: Seen,
  verified: Verified | undefined,
): Assessed {
  const known = { verified, drill: seen.drill }
  for (const { shelf, archives, models } of contents) {
    const archive = archives.find((one) => one.expected === expected)
    if (archive) return { expected, ...cellOf(expected, shelf, archive.copies, runs, known) }
    const model = models.find((one) => one.expected === expected)
    if (model) {
      const { cell, flaws } = modelsCell(expected, shelf, model.files, runs, seen.models, known)
      return { expected, cell, modelFlaws: flaws }
    }
  }
  return { expected, cell: unknownCell(expected, runs, seen.now) }
}

/** While Verda is off, its copies age and checks of it fail; only turning it on would help. */
function needsVerda({ trouble, store, items: names }: StatusFinding, seen: Seen): boolean {
  if (trouble === 'unreachable' || (trouble === 'missing' && names.includes('models'))) return store === 'sfs'
  if (trouble === 'failed run' && names.length === 0) return false
  if (trouble !== 'overdue' && trouble !== 'failed run') return false
  const hostOf = (name: string) => items.find((item) => item.name === name)?.host
  return names.every(
    (name) => hostOf(name) === 'verda' || (hostOf(name) === 'user data' && seen.userDataHost === 'verda'),
  )
}

function inOrder(findings: readonly StatusFinding[]): StatusFinding[] {
  const order = Object.keys(checks)
  return [...findings].sort(
    (a, b) => Number(isWrong(b)) - Number(isWrong(a)) || order.indexOf(a.trouble) - order.indexOf(b.trouble),
  )
}

function checklist(findings: readonly StatusFinding[]): Assessment['checks'] {
  return (Object.entries(checks) as [Trouble, string][]).map(([trouble, question]) => {
    const own = findings.filter((finding) => finding.trouble === trouble)
    return { question, answer: own.some(isWrong) ? 'no' : own.length > 0 ? 'look' : 'yes' }
  })
}

function commandStates({ reports }: Runs, limit: Date): CommandState[] {
  const names = [...new Set(items.flatMap(({ commands }) => Object.keys(commands)))] as CommandName[]
  return names.map((command) => {
    const own = reports.filter((report) => report.command === command && report.startedAt <= limit)
    const [last] = own
    const lastOk = own.find(({ ok }) => ok)?.at
    const lastSafe = own.find(({ safeToShutDown }) => safeToShutDown)?.at
    return {
      command,
      last: last && { time: last.at, ok: last.ok },
      lastOk,
      lastSafe,
    }
  })
}
