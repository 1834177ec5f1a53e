import { type StoreName, stores } from '../../inventory.ts'
import { makeStamp } from '../../naming.ts'
import type { Settings } from '../../settings/settings.ts'
import { bytesInWords, minuteOf, printable, quote, secondsInWords, someOf } from '../../text.ts'
import type { Archive, Match, Problem, Search, SearchPlan } from '../look/find.ts'

/** Per second: roughly what object storage delivered to a Verda and to a Mello. */
const farBytesASecond = 50e6

/** The bytes to read from object storage. */
export function farBytes({ archives }: SearchPlan): number {
  return archives
    .filter(({ copies: [first] }) => first && stores[first.store].kind === 'object')
    .reduce((sum, { bytes }) => sum + bytes, 0)
}

/** What will be read from where. `notHere`: stores that this machine cannot see. */
export function planText(
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
export function matchLine({ archive, member }: Match, looked: readonly StoreName[]): string {
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
export function foundText(
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

/** What `--json` prints. */
export function foundJson({ pattern, since, at }: Search, plan: SearchPlan, matches: readonly Match[]) {
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
