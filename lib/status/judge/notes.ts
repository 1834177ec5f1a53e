import { stores } from '../../inventory.ts'
import { bytesInWords } from '../../text.ts'
import type { Seen } from '../look/seen.ts'
import type { Cell } from './cell.ts'
import type { Contents } from './contents.ts'
import type { Runs } from './runs.ts'

/** Information; no action is needed. */
export function notesOf(
  { shelves, verdaOff, now, repository, withoutRepository }: Seen,
  contents: readonly Contents[],
  runs: Runs,
  cells: readonly Cell[],
): string[] {
  const leftOut = [
    ...new Set(shelves.filter(({ state }) => state === 'left out').map(({ store }) => stores[store].title)),
    ...(withoutRepository ? ['the repository of the credentials'] : []),
  ]
  const [long, ...more] = shelves.flatMap(({ since }) => since ?? [])
  const latest = contents.filter((one) => one.latest.length > 0)
  return [
    ...(leftOut.length > 0 ? [`Left out by --stores: ${leftOut.join(', ')}.`] : []),
    ...(verdaOff ? [offNote(verdaOff, runs, now)] : []),
    ...(repository?.uncompared
      ? [
          `The credentials could not be compared with what was pushed: ${repository.uncompared}. Look from Mello.`,
        ]
      : []),
    ...verifiedNotes(cells),
    ...(long
      ? [
          `What is older than ${long.time.toISOString().slice(0, 10)} in ${more.length + 1} large buckets is not counted. To count it, with what R2 costs and every unknown file: comfyume-backup status --all`,
        ]
      : []),
    ...latest.map(
      ({ shelf, latest: keys }) =>
        `${shelf.title} has ${keys.length} archives of the older scripts (…-latest.tar.gz). They have no date, and are never touched.`,
    ),
  ]
}

/** How much of each store has never been read back. */
function verifiedNotes(cells: readonly Cell[]): string[] {
  const names = [...new Set(cells.map(({ store }) => store))].filter((store) => store !== 'git')
  return names.flatMap((store) => {
    const own = cells.filter((cell) => cell.store === store && cell.copies > 0)
    if (own.length === 0) return []
    const title = stores[store].title
    if (own.every(({ verified }) => verified === undefined))
      return [
        `Nothing on ${title} was read back since it was stored: comfyume-backup verify --store ${store}`,
      ]
    const unread = own.map(unreadOf)
    const [archives, bytes] = (['archives', 'bytes'] as const).map((key) =>
      unread.reduce((sum, one) => sum + one[key], 0),
    ) as [number, number]
    return archives === 0
      ? []
      : [`verify has not yet read ${archives} archives (${bytesInWords(bytes)}) on ${title}.`]
  })
}

/** What came after the last look of `verify`, or was never among what it looked at, is unread. */
function unreadOf({ copies, bytes, verified }: Cell): { archives: number; bytes: number } {
  if (verified === undefined) return { archives: copies, bytes }
  const { unread } = verified
  return {
    archives: Math.max(unread.archives, copies - (verified.archives - unread.archives)),
    bytes: Math.max(unread.bytes, bytes - (verified.bytes - unread.bytes)),
  }
}

function offNote({ since, answers }: NonNullable<Seen['verdaOff']>, runs: Runs, now: Date): string {
  const when = since.toISOString().slice(0, 16)
  if (answers && since < now)
    return `Verda was marked as off since ${when}Z. It answers again: the mark is gone.`
  if (answers)
    return `Verda is marked as off from now on. It still answers; the next status that reaches it removes the mark.`
  const safe = runs.reports.find(({ safeToShutDown }) => safeToShutDown === true)
  const said = safe
    ? `backup-verda last said SAFE TO SHUT DOWN at ${safe.at.toISOString().slice(0, 16)}Z`
    : 'no run that was read said SAFE TO SHUT DOWN'
  return `Verda is marked as off on purpose since ${when}Z: what only Verda can do is muted until it answers again; ${said}.`
}
