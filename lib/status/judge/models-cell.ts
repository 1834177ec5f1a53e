import { foundAmong, type Verified } from '../../backup/verified.ts'
import { modelFlaw } from '../../copies.ts'
import { readRecord } from '../../record.ts'
import { unequalSizes } from '../../text.ts'
import type { SeenModels, SeenShelf } from '../look/seen.ts'
import { byDay, type Cell, clockToleranceMs, emptyCell, foundInWords, verifiedOf } from './cell.ts'
import type { ModelCopy } from './contents.ts'
import type { Expected } from './expected.ts'
import { earliest, type Runs } from './runs.ts'

/** What is wrong with single models on a shelf. */
export interface ModelFlaws {
  /** Live, but missing on the shelf, even as a broken copy. */
  lacking: string[]
  /** A size that differs from the record or the live model; `replaced`: newer sound copy, or model gone. */
  broken: { key: string; why: string; replaced?: boolean }[]
  noArchive: string[]
  noRecord: string[]
}

/** Assesses a shelf's models against the live ones, if these were visible. */
export function modelsCell(
  { item, store, bucket }: Expected,
  shelf: SeenShelf,
  files: readonly ModelCopy[],
  runs: Runs,
  live: SeenModels | undefined,
  { verified, drill }: { verified?: Verified; drill: boolean },
): { cell: Cell; flaws: ModelFlaws } {
  const flaws: ModelFlaws = { lacking: [], broken: [], noArchive: [], noRecord: [] }
  const modified = new Map(shelf.files.map((file) => [file.key, file.modified]))
  /** The newest sound content of each model. */
  const there = new Map<string, { time: Date; taken: Date; bytes: number }>()
  const all: { time: Date; bytes: number }[] = []
  const bad: { key: string; model: string; taken: Date; why: string; at?: string }[] = []
  let newest: Cell['newest']
  for (const { key, path, bytes, recordKey } of files) {
    const text = recordKey === undefined ? undefined : shelf.texts[recordKey]
    const record = text === undefined ? undefined : readRecord(text)
    if (bytes === undefined) {
      flaws.noArchive.push(key)
      continue
    }
    const taken = modified.get(key) ?? shelf.at
    const time = record?.time ?? taken
    const made = drill ? time : earliest(time, taken)
    const model = record?.original ?? path
    const found = foundAmong(verified?.broken, bucket, { key, bytes, modified: taken })
    const why = found
      ? foundInWords(found)
      : text === undefined
        ? undefined
        : modelFlaw({ key, bytes }, record)
    if (why !== undefined) {
      bad.push({ key, model, taken, why, at: found?.at })
      continue
    }
    if (recordKey === undefined) flaws.noRecord.push(key)
    all.push({ time, bytes })
    if (!((there.get(model)?.time ?? 0) > time)) there.set(model, { time, taken, bytes })
    if (!newest || made > newest.time) newest = { key, time: made, bytes }
  }
  const run = runs.lastSuccess(item.name, store, new Date(shelf.at.getTime() + clockToleranceMs))
  const living = new Map(
    live?.problem === undefined ? live?.files.map(({ path, bytes }) => [path, bytes]) : [],
  )
  const told = new Set<string>()
  for (const { key, model, taken, why, at } of bad) {
    const sound = there.get(model)
    // A run that knew of the broken copy compared the live model with the other one.
    const isMadeUp = sound && (sound.taken > taken || (run && at && run.time > new Date(at)))
    const isGone = sound === undefined && living.size > 0 && !living.has(model)
    if (isMadeUp || isGone) flaws.broken.push({ key, why, replaced: true })
    else {
      flaws.broken.push({ key, why })
      told.add(model)
    }
  }
  for (const [path, bytes] of living) {
    const stored = there.get(path)?.bytes
    if (told.has(path)) continue
    if (stored === undefined) flaws.lacking.push(path)
    else if (stored !== bytes) {
      const [lives, held] = unequalSizes(bytes, stored)
      flaws.broken.push({ key: path, why: `${live?.where} has ${lives} of it, ${store} ${held}` })
    }
  }
  const freshAt = newest && run && run.time > newest.time ? run.time : newest?.time
  const cell: Cell = {
    ...emptyCell(item, store, newest ? 'by hand' : 'missing', shelf.at),
    newest,
    freshAt,
    verified: verifiedOf(verified, item.name),
    copies: all.length,
    contents: all.length,
    bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
    lacking: live && live.problem === undefined ? flaws.lacking.length + told.size : undefined,
    history: byDay(all),
  }
  return { cell, flaws }
}
