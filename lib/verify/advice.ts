import path from 'node:path'
import { selectStored } from '../backup/select.ts'
import { type StoreName, stores } from '../inventory.ts'
import { nameOf, recordName } from '../naming.ts'
import { readRecord } from '../record.ts'
import type { Settings } from '../settings/settings.ts'
import { smallText } from '../stores/store.ts'
import { quoteIfNeeded, remembered } from '../text.ts'
import type { Verdict } from './check.ts'
import { type Archive, type Shelf, surveyStore } from './survey.ts'

export interface Circumstances {
  settings: Settings
  /** Where the same content is; absent when it is unknown what the content should be. */
  elsewhere?: readonly string[]
  /** Whether it is the newest of its item in its store, or the newest builds on it. */
  newest: boolean
  /** What builds on it, oldest first. */
  later?: readonly string[]
}

export function adviceFor(verdict: Verdict & { status: 'broken' }, circumstances: Circumstances): string {
  const { elsewhere, later = [] } = circumstances
  const { archive, lost } = verdict
  const parts = ['restore skips it']
  const [first, last] = [later[0], later.at(-1)]
  if (first !== undefined) {
    const builds = later.length === 1 ? 'archive builds' : 'archives build'
    const range = first === last ? first : `${first} to ${last}`
    parts.push(`${later.length} later ${builds} on it and cannot be restored from here alone, from ${range}`)
  }
  if (elsewhere?.length === 0)
    parts.push(`no other store that this machine can reach has ${lost?.archive ?? 'this content'}`)
  else if (elsewhere) {
    const taken = first !== undefined || lost ? ', and restore takes it from there' : ''
    const what = lost?.archive ?? 'the same content'
    parts.push(`by its record ${what} is also in ${elsewhere.join(' and ')}${taken}`)
  }
  const isFolder = stores[archive.store].kind === 'directory'
  parts.push(isFolder ? moveAway(archive, circumstances) : beside(archive, circumstances.newest))
  return parts.join('; ')
}

/** A person can move it away in a folder, so that the next backup does not take it for a good one. */
function moveAway({ store, key, bytes, recorded }: Archive, { settings, newest }: Circumstances): string {
  const root = store === 'sfs' ? settings.sfs.cache : settings.melloBackups
  const files = [...(bytes === undefined ? [] : [key]), ...(recorded ? [recordName(key)] : [])]
  const again = newest ? ', and the next backup makes it again' : ''
  return `move it away: mv ${files.map((file) => quoteIfNeeded(path.join(root, file))).join(' ')} ~/${again}`
}

/** Nothing is removed from an object store. Backups do not compare with archives known to be broken. */
function beside({ item }: Archive, newest: boolean): string {
  const stays = 'it stays, because nothing is ever removed there'
  return newest || item === 'models'
    ? `${stays}: the next backup stores its sources again, next to it`
    : stays
}

/** Where else an archive's content is, by the records there. */
export type FindElsewhere = (
  archive: Archive,
  content: { bytes?: number; archive?: string; sha256: string },
) => Promise<string[]>

/**
 * Asks all of the item's stores, even those that this run does not read. Lists each once, and only when
 * something is broken. A store that does not answer counts as empty.
 */
export function findElsewhere(settings: Settings): FindElsewhere {
  const view = remembered((name: StoreName) => surveyStore(name, selectStored(undefined), settings, false))
  return async ({ item, store }, content) => {
    const others = selectStored([item]).flatMap(({ stores }) => stores.filter((name) => name !== store))
    const isAlike = ({ key, bytes }: Archive) =>
      content.archive === undefined ? bytes === content.bytes : nameOf(key) === content.archive
    const found = await Promise.all(
      others.map(async (name) => {
        const { shelves, byItem } = await view(name)
        const alike = byItem.flat().filter((one) => one.item === item && one.recorded && isAlike(one))
        for (const copy of alike) {
          const shelf = shelves.find(({ bucket }) => bucket === copy.bucket) as Shelf
          if (await isContent(shelf, copy, content.sha256)) return [`${name} (${copy.key})`]
        }
        return []
      }),
    )
    return found.flat()
  }
}

async function isContent({ store }: Shelf, { key }: Archive, sha256: string): Promise<boolean> {
  try {
    return readRecord((await smallText(store, recordName(key))) ?? '')?.sha256 === sha256
  } catch {
    return false
  }
}
