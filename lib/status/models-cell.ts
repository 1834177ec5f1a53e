import { readRecord } from '../record.ts'
import { byDay, type Cell, clockToleranceMs } from './cell.ts'
import type { ModelCopy } from './contents.ts'
import type { Expected } from './expected.ts'
import type { Runs } from './runs.ts'
import type { SeenModels, SeenShelf } from './seen.ts'

/** What is wrong with single models on a shelf. */
export interface ModelFlaws {
  /** Live, and not on the shelf. */
  lacking: string[]
  /** Another size than the record says, or than the live model has. */
  broken: { key: string; why: string }[]
  noArchive: string[]
  noRecord: string[]
}

/** Assesses the models on a shelf that was looked at, against those that live, where these could be seen. */
export function modelsCell(
  { item, store }: Expected,
  shelf: SeenShelf,
  files: readonly ModelCopy[],
  runs: Runs,
  live: SeenModels | undefined,
): { cell: Cell; flaws: ModelFlaws } {
  const flaws: ModelFlaws = { lacking: [], broken: [], noArchive: [], noRecord: [] }
  const modified = new Map(shelf.files.map((file) => [file.key, file.modified]))
  const there = new Map(files.map((file) => [file.path, file]))
  const all: { time: Date; bytes: number }[] = []
  let newest: Cell['newest']
  for (const { key, bytes, recordKey } of files) {
    const text = recordKey === undefined ? undefined : shelf.texts[recordKey]
    const record = text === undefined ? undefined : readRecord(text)
    if (bytes === undefined) {
      flaws.noArchive.push(key)
      continue
    }
    if (recordKey === undefined) flaws.noRecord.push(key)
    else if (text !== undefined && !record) flaws.broken.push({ key, why: 'its record cannot be read' })
    else if (record?.bytes !== undefined && record.bytes !== bytes)
      flaws.broken.push({ key, why: `it has ${bytes} bytes, its record says ${record.bytes}` })
    const time = record?.time ?? modified.get(key) ?? shelf.at
    all.push({ time, bytes })
    if (!newest || time > newest.time) newest = { key, time, bytes }
  }
  for (const { path, bytes } of live?.files ?? []) {
    const stored = there.get(path)?.bytes
    if (stored === undefined) flaws.lacking.push(path)
    else if (stored !== bytes)
      flaws.broken.push({ key: path, why: `${live?.where} has ${bytes} bytes of it, ${store} ${stored}` })
  }
  const run = runs.lastSuccess(item.name, store, new Date(shelf.at.getTime() + clockToleranceMs))
  const freshAt = newest && run && run.time > newest.time ? run.time : newest?.time
  const cell: Cell = {
    item: item.name,
    title: item.title,
    store,
    state: newest ? 'by hand' : 'missing',
    asOf: shelf.at,
    ...(newest && { newest }),
    ...(freshAt && { freshAt }),
    copies: all.length,
    contents: all.length,
    bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
    ...(live && live.problem === undefined && { lacking: flaws.lacking.length }),
    history: byDay(all),
  }
  return { cell, flaws }
}
