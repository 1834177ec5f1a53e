import { existsSync } from 'node:fs'
import { confirmed } from '../cli/confirm.ts'
import { FlagError } from '../cli/flags.ts'
import { print, printJson } from '../cli/output.ts'
import { Progress } from '../cli/progress.ts'
import { type StoreName, stores } from '../inventory.ts'
import { readStamp, stampTime } from '../naming.ts'
import { readAt } from '../restore/plan/request.ts'
import type { Settings } from '../settings/settings.ts'
import { bytesInWords } from '../text.ts'
import type { Vantage } from './look/access.ts'
import { type Match, planSearch, type Search, searchIn } from './look/find.ts'
import { meansPath } from './look/members.ts'
import { openPlaces } from './look/place.ts'
import { farBytes, foundJson, foundText, matchLine, planText } from './show/find.ts'
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
