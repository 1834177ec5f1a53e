import { headOf } from '../../capture/list.ts'
import { listName } from '../../chain.ts'
import { type Copy, chainAmong, copiesAmong, type KnownCopy, knownCopy } from '../../copies.ts'
import type { CaptureKind } from '../../inventory.ts'
import {
  archiveOfRecord,
  environmentFolder,
  readArchiveName,
  readRunReportName,
  recordName,
} from '../../naming.ts'
import { probeKey } from '../../stores/s3/trust.ts'
import type { SeenFile, SeenShelf } from '../look/seen.ts'
import type { Expected } from './expected.ts'

/** The content of a shelf, sorted by kind. */
export interface Contents {
  shelf: SeenShelf
  archives: { expected: Expected; copies: Copy[] }[]
  models: { expected: Expected; files: ModelCopy[] }[]
  /** Of backups, newest first. */
  reports: { key: string; command: string; time: Date }[]
  /** Of `verify`, newest first. */
  verified: { key: string; command: string; time: Date }[]
  /** Of the older scripts: `<name>-latest.tar.gz`. */
  latest: string[]
  /** Files that no backup of this environment makes. */
  unexpected: SeenFile[]
}

/** A model's file, or the record of a missing one. */
export interface ModelCopy {
  key: string
  /** Below the models' folder. */
  path: string
  bytes?: number
  recordKey?: string
}

/** Sorts a listing. Skips other environments. `expected`: everything that this store is for. */
export function contentsOf(shelf: SeenShelf, expected: readonly Expected[], environment: string): Contents {
  const folder = environmentFolder(environment)
  const own = shelf.files.filter(({ key }) => isOf(environment, key))
  const here = expected.filter(
    ({ store, bucket }) => store === shelf.store && (shelf.bucket === undefined || bucket === shelf.bucket),
  )
  const contents: Contents = {
    shelf,
    archives: [],
    models: [],
    reports: [],
    verified: [],
    latest: [],
    unexpected: [],
  }
  const claimed = new Set<string>()
  for (const one of here) {
    const { capture } = one.item
    if (capture.kind === 'models') {
      const files = modelsAmong(own, one.folder, capture)
      contents.models.push({ expected: one, files })
      for (const { key, bytes, recordKey } of files) claim(claimed, key, bytes, recordKey)
    } else {
      const copies = copiesAmong(own, one.folder, one.item.name)
      contents.archives.push({ expected: one, copies })
      for (const { key, bytes, recordKey, listKey } of copies) {
        claim(claimed, key, bytes, recordKey)
        if (listKey !== undefined) claimed.add(listKey)
      }
    }
  }
  for (const file of own) {
    const { key } = file
    if (claimed.has(key) || key.endsWith(probeKey)) continue
    const report = key.startsWith(folder) ? readRunReportName(key.slice(folder.length)) : undefined
    if (report) contents[report.command === 'verify' ? 'verified' : 'reports'].push({ key, ...report })
    else if (here.some((one) => isLatest(one, key))) contents.latest.push(key)
    else if (!isHalfSwapped(key, claimed)) contents.unexpected.push(file)
  }
  for (const reports of [contents.reports, contents.verified])
    reports.sort((a, b) => b.time.getTime() - a.time.getTime())
  return contents
}

function claim(claimed: Set<string>, key: string, bytes?: number, recordKey?: string): void {
  if (bytes !== undefined) claimed.add(key)
  if (recordKey !== undefined) claimed.add(recordKey)
}

/** Production is at the root of a store, every other environment in its own folder. */
function isOf(environment: string, key: string): boolean {
  if (environment !== 'production') return key.startsWith(`${environment}/`)
  return !key.startsWith('staging/') && !key.startsWith('testing/')
}

function modelsAmong(
  files: readonly SeenFile[],
  folder: string,
  { folders, extension }: CaptureKind & { kind: 'models' },
): ModelCopy[] {
  const models = new Map<string, ModelCopy>()
  for (const { key, bytes } of files) {
    const archive = archiveOfRecord(key)
    const name = archive ?? key
    const path = name.slice(folder.length)
    if (!name.startsWith(folder) || !path.endsWith(extension) || !folders.includes(path.split('/')[0] ?? ''))
      continue
    const model = models.get(name) ?? { key: name, path }
    models.set(name, model)
    if (archive === undefined) model.bytes = bytes
    else model.recordKey = recordName(name)
  }
  return [...models.values()]
}

function isLatest({ item, folder }: Expected, key: string): boolean {
  const name = archiveOfRecord(key) ?? key
  return name.startsWith(folder) && readArchiveName(item.name, name.slice(folder.length))?.kind === 'latest'
}

/** The new record of a half-swapped pair: the next run finishes it. */
function isHalfSwapped(key: string, claimed: Set<string>): boolean {
  const record = /^(.*\.sha256)\.next$/.exec(key)?.[1]
  return record !== undefined && (claimed.has(record) || claimed.has(archiveOfRecord(record) ?? ''))
}

/** A copy with its record; undefined if that was not read, or is no record of it. */
export function knownOn({ texts }: Pick<SeenShelf, 'texts'>, copy: Copy): KnownCopy | undefined {
  const text = copy.recordKey === undefined ? undefined : texts[copy.recordKey]
  return text === undefined ? undefined : knownCopy(copy, text)
}

/** The good archives that an increment builds on, and the first bad one. Unknown if its list was not read. */
export function chainOn(
  { texts }: SeenShelf,
  { record, listKey }: KnownCopy,
  copies: readonly Copy[],
  isBroken: (copy: Copy) => boolean,
): { links: Copy[]; lost?: string } | undefined {
  if (record.increment === undefined) return undefined
  const text = listKey === undefined ? '' : texts[listKey]
  if (text === undefined) return undefined
  const head = headOf(text)
  return head ? chainAmong(head, record, copies, isBroken) : { links: [], lost: listName(record.archive) }
}
