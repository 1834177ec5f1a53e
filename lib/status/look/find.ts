import { folderOf } from '../../backup/plan.ts'
import { bounds, listName } from '../../chain.ts'
import { type Copy, chainAmong, copiesAmong, isAfter, isWithin, knownCopy } from '../../copies.ts'
import type { Item, StoreName } from '../../inventory.ts'
import { type Stamp, stampTime } from '../../naming.ts'
import type { ArchiveRecord } from '../../record.ts'
import { messageOf } from '../../text.ts'
import { unlessStalled } from '../../verify/survey.ts'
import { type Member, meansPath, membersListed, membersOf } from './members.ts'
import type { Place } from './seen.ts'

export interface Search {
  /** See meansPath. */
  pattern: string
  items: readonly Item[]
  environment: string
  now: Date
  /** Copies since then. */
  since?: Date
  /** No later copies; without `since`, only the newest of each item. */
  at?: Date
}

/** One content of an item, in all its places. */
export interface Archive {
  item: Item
  /** When the newest of its copies was made. */
  time: Date
  /** To read: those of its list, if it has one. */
  bytes: number
  /** Whether records prove that the copies are equal; without them there is one copy. */
  recorded: boolean
  /** In reading order; within a store, newest first. */
  copies: ArchiveCopy[]
}

interface ArchiveCopy {
  store: StoreName
  key: string
  stamp: Stamp
  time: Date
  place: Place
  /** Present if the list next to it tells what its item held, and what it may build on there. */
  chained?: { record: Listed; beside: readonly Copy[] } | undefined
}

type Listed = ArchiveRecord & Required<Pick<ArchiveRecord, 'list'>>

/** What will be read, newest first, and what cannot be. */
export interface SearchPlan {
  archives: Archive[]
  problems: Problem[]
}

export interface Problem {
  store: StoreName
  /** The archive's key; absent for a whole store. */
  key?: string
  reason: string
}

/** Lists the places and reads their records. A failure becomes a problem and does not stop the rest. */
export async function planSearch(places: readonly Place[], search: Search): Promise<SearchPlan> {
  const problems: Problem[] = []
  const found = await Promise.all(
    places.map((place) =>
      archivesIn(place, search, problems).catch((error) => {
        problems.push({ store: place.store, reason: messageOf(error) })
        return []
      }),
    ),
  )
  const contents = new Map<string, Archive>()
  for (const { ids, ...archive } of found.flat()) {
    const known = ids.map((id) => contents.get(id)).find((one) => one !== undefined)
    for (const id of ids) contents.set(id, known ?? archive)
    if (!known) continue
    known.copies.push(...archive.copies)
    if (archive.time > known.time) known.time = archive.time
  }
  const archives = [...new Set(contents.values())].sort((a, b) => b.time.getTime() - a.time.getTime())
  return { archives: newestAlone(search) ? newestOfEach(archives) : archives, problems }
}

function newestAlone({ since, at }: Search): boolean {
  return at !== undefined && since === undefined
}

function newestOfEach(archives: readonly Archive[]): Archive[] {
  return archives.filter(({ item }, index) => archives.findIndex((one) => one.item === item) === index)
}

/** Within a day, names may not be in order of time. */
function ofTwoDays(copies: readonly Copy[]): Copy[] {
  const days = [...new Set(copies.map(({ stamp }) => dayOf(stamp)))].slice(0, 2)
  return copies.filter(({ stamp }) => days.includes(dayOf(stamp)))
}

const dayOf = (stamp: Stamp) => stamp.slice(0, 'YYYY-MM-DD'.length)

async function archivesIn(
  place: Place,
  search: Search,
  problems: Problem[],
): Promise<(Archive & { ids: string[] })[]> {
  const { environment, now, since, at = now } = search
  const { store, bucket } = place
  const own = search.items.filter((item) => bucket === undefined || item.bucket === bucket)
  const prefixes = own.map((item) => `${folderOf(item, environment)}${item.name}-`)
  // With what the first of them builds on.
  const from = since ? new Date(since.getTime() - (bounds.days + 1) * 24 * 3600 * 1000) : new Date(0)
  const { files } = await place.list({ time: from, prefixes })
  const wanted = own
    .map((item) => ({ item, beside: copiesAmong(files, folderOf(item, environment), item.name) }))
    .map(({ item, beside }) => {
      const copies = beside.filter(
        ({ stamp }) => stampTime(stamp) <= at && (!since || isWithin(stamp, since) || isAfter(stamp, since)),
      )
      return { item, beside, copies: newestAlone(search) ? ofTwoDays(copies) : copies }
    })
  const keys = wanted.flatMap(({ copies }) => copies.flatMap(({ recordKey }) => recordKey ?? []))
  const texts = await place.read(keys)
  return wanted.flatMap(({ item, beside, copies }) =>
    copies.flatMap((copy) => {
      const known = readable(copy, texts)
      if (typeof known === 'string') {
        problems.push({ store, key: copy.key, reason: known })
        return []
      }
      const { key, stamp } = copy
      const { time, record, bytes } = known
      if (time > at || (since && time < since)) return []
      const recorded = record !== undefined
      // What is whole in one store may be an increment in another.
      const ids = [record?.sha256, record?.fingerprint].flatMap((same) =>
        same ? `${item.name} ${same}` : [],
      )
      if (!recorded) ids.push(`${store} ${key}`)
      const isListed = record?.list !== undefined && copy.listKey !== undefined
      const chained = isListed ? { record: record as Listed, beside } : undefined
      const copied = { store, key, stamp, time, place, chained }
      return [{ ids, item, time, bytes: chained?.record.list.bytes ?? bytes, recorded, copies: [copied] }]
    }),
  )
}

/** What is known of a copy, or why it cannot be read. */
function readable(
  copy: Copy,
  texts: ReadonlyMap<string, string>,
): { time: Date; bytes: number; record?: ArchiveRecord } | string {
  if (copy.bytes === undefined) return 'only its record is there'
  if (copy.recordKey === undefined) return { time: stampTime(copy.stamp), bytes: copy.bytes }
  const known = knownCopy(copy, texts.get(copy.recordKey) ?? '')
  if (!known) return 'its record cannot be read'
  if (!known.good) return 'its size is not what its record says'
  if (known.record.increment && copy.listKey === undefined) return 'it is an increment, and its list is gone'
  return { time: known.time, bytes: copy.bytes, record: known.record }
}

/** A file that was found, in one content of an item. */
export interface Match {
  archive: Archive
  member: Member
}

/** Reads what an archive stands for from its first readable copy. `problems`: called for the others. */
export async function* searchIn(
  archive: Archive,
  pattern: string,
  problems: Problem[],
  onBytes: (bytes: number) => void,
): AsyncGenerator<Match> {
  const isMeant = meansPath(pattern)
  let read = 0
  const count = (bytes: number) => {
    read += bytes
    onBytes(bytes)
  }
  for (const { store, key, place, chained } of archive.copies) {
    const matches: Match[] = []
    const found = (member: Member) => matches.length <= mostMatches && matches.push({ archive, member })
    try {
      if (chained) {
        const { record, beside } = chained
        const list = counted(unlessStalled(place.open(listName(key)), `${place.title}: ${key}`), count)
        const { head, members } = await membersListed(list, { ...record, item: archive.item.name }, isMeant)
        const { lost } = record.increment ? chainAmong(head, record, beside) : {}
        if (lost !== undefined) throw new Error(`it builds on ${lost}, which is gone or changed`)
        for (const member of members) found(member)
      } else {
        const lines = unlessStalled(place.members(key, count), `${place.title}: ${key}`)
        for await (const member of membersOf(lines)) if (isMeant(member.path)) found(member)
      }
    } catch (error) {
      problems.push({ store, key, reason: `it cannot be read: ${messageOf(error)}` })
      continue
    }
    if (matches.length > mostMatches)
      problems.push({
        store,
        key,
        reason: `more than ${mostMatches} paths in it match: give a narrower pattern`,
      })
    yield* matches.slice(0, mostMatches)
    break
  }
  onBytes(archive.bytes - read)
}

async function* counted(body: AsyncIterable<Buffer>, onBytes: (bytes: number) => void) {
  for await (const chunk of body) {
    onBytes(chunk.length)
    yield chunk
  }
}

/** Per archive. */
const mostMatches = 10_000
