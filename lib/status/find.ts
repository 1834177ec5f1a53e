import { existsSync } from 'node:fs'
import { confirmed } from '../cli/confirm.ts'
import { FlagError } from '../cli/flags.ts'
import { print, printJson } from '../cli/output.ts'
import { Progress } from '../cli/progress.ts'
import { type StoreName, stores } from '../inventory.ts'
import { makeStamp, readStamp, stampTime } from '../naming.ts'
import { readAt } from '../restore/plan/request.ts'
import type { Settings } from '../settings/settings.ts'
import { bytesInWords, minuteOf, printable, quote, secondsInWords, someOf } from '../text.ts'
import type { Vantage } from './look/access.ts'
import {
  type Archive,
  type Match,
  type Problem,
  planSearch,
  type Search,
  type SearchPlan,
  searchIn,
} from './look/find.ts'
import { meansPath } from './look/members.ts'
import { openPlaces } from './look/place.ts'
import { itemsOf } from './show/list.ts'

/** Above this, object storage is read only after a yes. */
const unaskedBytes = 2 ** 30

/** The values of its flags. */
interface Asked {
  find: string
  only?: string[]
  at?: string
  since?: string
  stores?: string[]
  yes?: boolean
  dryRun?: boolean
  json?: boolean
  quiet?: boolean
}

/** `status --find`: 0 found, 1 not found or not everything was readable. `wanted`: the stores to search. */
export async function findFile(
  asked: Asked,
  settings: Settings,
  vantage: Vantage,
  wanted: ReadonlySet<StoreName | 'git'>,
): Promise<number> {
  const search = readSearch(asked, settings)
  const named = asked.stores !== undefined
  const out = asked.json ? process.stderr : process.stdout
  const tell = (text: string) => asked.quiet || out.write(`${text}\n`)

  const near = nearestFirst(vantage).filter((store) => wanted.has(store))
  if (near.length === 0) throw new FlagError('--stores: archives are in sfs, mello, r2 and hetzner')
  // Mello's copies are visible only on Mello, and buckets only with their keys.
  const isHere = (store: StoreName) =>
    stores[store].kind === 'object'
      ? settings[store as 'r2'] !== undefined
      : store !== 'mello' || existsSync(settings.melloBackups)
  const looked = near.filter((store) => isHere(store) || named)
  const plan = await planSearch(
    looked.flatMap((store) => openPlaces(store, { settings, vantage })),
    search,
  )
  tell(
    planText(
      search,
      plan,
      near.filter((store) => !looked.includes(store)),
    ),
  )
  if (asked.dryRun) {
    if (asked.json) printJson(foundJson(search, plan, []))
    return 0
  }
  const far = farBytes(plan)
  if (far > unaskedBytes && !asked.yes) {
    const narrower = 'narrow it with --only, --at or --since'
    if (!process.stdin.isTTY)
      throw new FlagError(
        `${bytesInWords(far)} would be read from object storage: ${narrower}, or give --yes to read it all`,
      )
    if (!(await confirmed('Read all of it? Type yes to begin: '))) {
      process.stderr.write(`status: cancelled; ${narrower}\n`)
      return 2
    }
  }

  const progress = asked.quiet ? undefined : Progress.on(process.stderr)
  progress?.start('reading')
  progress?.expect(plan.archives.reduce((sum, { bytes }) => sum + bytes, 0))
  const matches: Match[] = []
  for (const archive of plan.archives) {
    const found = searchIn(archive, search.pattern, plan.problems, (bytes) => progress?.add(bytes))
    for await (const match of found) {
      progress?.stop()
      if (!asked.json) print(matchLine(match, looked))
      matches.push(match)
    }
    progress?.resume()
  }
  progress?.stop()
  if (asked.json) printJson(foundJson(search, plan, matches))
  else print(foundText(search, plan, matches, settings))
  return matches.length > 0 && plan.problems.length === 0 ? 0 : 1
}

/** This machine first, then ssh, then long lines. */
function nearestFirst({ onVerda }: Vantage): StoreName[] {
  return onVerda ? ['sfs', 'mello', 'r2', 'hetzner'] : ['mello', 'sfs', 'r2', 'hetzner']
}

function readSearch(asked: Asked, { environment, now = new Date() }: Settings): Search {
  const { find: pattern, only } = asked
  try {
    meansPath(pattern)
  } catch {
    throw new FlagError(
      `--find ${pattern}: this set of characters is not closed or makes no sense; escape [ with \\`,
    )
  }
  if (/^\/*$/.test(pattern)) throw new FlagError("--find takes a name or a path, for instance '*.json'")
  const items = itemsOf(only).filter(({ capture }) => capture.kind === 'files')
  if (items.length === 0)
    throw new FlagError(`--only ${only?.join(',')}: only items made of files can be looked into`)
  const since = asked.since ? readSince(asked.since) : undefined
  const at = asked.at ? readAt(asked.at) : undefined
  return { pattern, items, environment, now, ...(since && { since }), ...(at && { at }) }
}

function readSince(text: string): Date {
  const stamp = readStamp(text)
  if (stamp === undefined)
    throw new FlagError(
      `--since takes a day or an hour in UTC, such as 2026-11-24; it was given ${JSON.stringify(text)}`,
    )
  return stampTime(stamp)
}

/** Per second: roughly what object storage delivered to a Verda and to a Mello. */
const farBytesASecond = 50e6

/** The bytes to read from object storage. */
function farBytes({ archives }: SearchPlan): number {
  return archives
    .filter(({ copies: [first] }) => first && stores[first.store].kind === 'object')
    .reduce((sum, { bytes }) => sum + bytes, 0)
}

/** What will be read from where. `notHere`: stores that this machine cannot see. */
function planText(
  { pattern, items, since, at }: Search,
  plan: SearchPlan,
  notHere: readonly StoreName[],
): string {
  const bytes = plan.archives.reduce((sum, one) => sum + one.bytes, 0)
  const from = [...new Set(plan.archives.map(firstStore))].map((store) => {
    const own = plan.archives.filter((one) => firstStore(one) === store)
    return `${own.length} from ${stores[store].title} (${bytesInWords(own.reduce((sum, one) => sum + one.bytes, 0))})`
  })
  const far = farBytes(plan)
  const time = far > 0 ? `; about ${secondsInWords(far / farBytesASecond)} at 50 MB/s` : ''
  const when = [since && `from ${minuteOf(since)}`, at && `${since ? 'to' : 'as of'} ${minuteOf(at)}`].filter(
    Boolean,
  )
  return [
    `Looking for ${printable(pattern)} in ${someOf(items.map(({ name }) => name))}${when.length > 0 ? `, ${when.join(' ')}` : ''}:`,
    `  ${plan.archives.length} archives to search, ${bytesInWords(bytes)} to read${from.length > 0 ? `: ${from.join(', ')}` : ''}${time}`,
    ...(notHere.length > 0
      ? [`  cannot be seen from this machine: ${notHere.map((store) => stores[store].title).join(', ')}`]
      : []),
  ].join('\n')
}

function firstStore({ copies: [first] }: Archive): StoreName {
  return (first as Archive['copies'][number]).store
}

/** A line for each stamp: copy, item, stores, size, time of the file, path. `looked`: the searched stores. */
function matchLine({ archive, member }: Match, looked: readonly StoreName[]): string {
  const { path, type, bytes, modified, to } = member
  const stamps = [...new Set(archive.copies.map(({ stamp }) => stamp))].sort().reverse()
  const suffix = to === undefined ? '' : type === 'link' ? ` -> ${to}` : ` (the same file as ${to})`
  const width = looked.join(',').length
  return stamps
    .map((stamp) => {
      const where = [...new Set(archive.copies.flatMap((copy) => (copy.stamp === stamp ? copy.store : [])))]
      const size = type === 'file' && to === undefined ? bytesInWords(bytes) : ''
      return `${stamp.padEnd(16)}  ${archive.item.name.padEnd(13)}  ${where.join(',').padEnd(width)}  ${size.padStart(10)}  ${(modified ? minuteOf(modified) : '').padEnd(16)}  ${printable(path + suffix)}`
    })
    .join('\n')
}

/** The result; the last line restores the newest match. */
function foundText(
  search: Search,
  plan: SearchPlan,
  matches: readonly Match[],
  { userDataHost }: Pick<Settings, 'userDataHost'>,
): string {
  const bytes = plan.archives.reduce((sum, one) => sum + one.bytes, 0)
  const read = `${plan.archives.length} archives (${bytesInWords(bytes)})`
  const again = `comfyume-backup status --find ${quote(search.pattern)}`
  const problems = plan.problems.map((problem) => problemText(problem, again))
  const match = matches.find(({ archive }) => archive.recorded) ?? matches[0]
  if (match === undefined)
    return [
      ...problems,
      `Nothing matches ${printable(search.pattern)} in ${read}. Upper and lower case count.`,
      search.since || search.at ? 'To look in older and newer copies too:' : 'A part of the name will do:',
      `comfyume-backup status --find ${quote(`*${search.pattern.replace(/^\/+/, '')}*`)}`,
    ].join('\n')
  const { item, recorded } = match.archive
  const host = item.host === 'user data' ? userDataHost : item.host
  const machine = host === 'verda' ? 'Verda' : 'Mello'
  return [
    ...problems,
    `Found in ${new Set(matches.map(({ archive }) => archive)).size} of ${read}.`,
    ...(recorded
      ? [`Bring the newest one back on ${machine}, in place, or with --to DIR elsewhere:`]
      : [
          `Its archives have no record, so write one first: comfyume-backup verify --only ${item.name} --adopt`,
          `Then bring it back on ${machine}:`,
        ]),
    restoreCommand(match),
  ].join('\n')
}

function problemText({ store, key, reason }: Problem, again: string): string {
  const title = stores[store].title
  return key === undefined
    ? `NOT LOOKED AT: ${title}: ${printable(reason)}. Fix this, then run: ${again} --stores ${store}`
    : `NOT READ: ${printable(key)} on ${title}: ${printable(reason)}`
}

/** To the minute, and only from its own store, so that no other copy is taken for it. */
function restoreCommand({ archive: { item, time, copies }, member }: Match): string {
  const sources = [...new Set(copies.map(({ store }) => store))].filter((store) =>
    (item.restore as readonly string[]).includes(store),
  )
  return `comfyume-backup restore --only ${item.name} --path ${quote(member.pattern)} --at ${makeStamp(time, 'minute')} --from ${sources.join(',')}`
}

function foundJson({ pattern, since, at }: Search, plan: SearchPlan, matches: readonly Match[]) {
  const { archives, problems } = plan
  const match = matches.find(({ archive }) => archive.recorded)
  return {
    command: 'status',
    find: pattern,
    ...(since && { since }),
    ...(at && { at }),
    archives: archives.length,
    bytes: archives.reduce((sum, { bytes }) => sum + bytes, 0),
    bytesFromObjectStorage: farBytes(plan),
    ok: problems.length === 0,
    problems,
    found: matches.flatMap(({ archive, member }) => {
      const { pattern: _, ...file } = member
      return archive.copies.map(({ store, key, stamp, time }) => ({
        ...{ item: archive.item.name, store, key, stamp, time },
        ...file,
      }))
    }),
    ...(match && { restore: restoreCommand(match) }),
  }
}
