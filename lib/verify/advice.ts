import path from 'node:path'
import { quote } from '../hosts/script.ts'
import { stores } from '../inventory.ts'
import { recordName } from '../naming.ts'
import type { Settings } from '../settings.ts'
import type { Archive } from './archives.ts'
import type { Verdict } from './check.ts'

export interface Circumstances {
  settings: Settings
  /** Where the same content lies; absent when it is not known what the content should be. */
  elsewhere?: readonly string[]
  /** Whether it is the newest of its item in its store. */
  newest: boolean
}

/** What to do about a broken archive. */
export function adviceFor(verdict: Verdict & { status: 'broken' }, circumstances: Circumstances): string {
  const { elsewhere } = circumstances
  const { archive } = verdict
  return [
    'restore passes it over',
    ...(elsewhere === undefined
      ? []
      : elsewhere.length > 0
        ? [`by their records the same content lies in ${elsewhere.join(' and ')}`]
        : ['no other store that can be asked from here has this content']),
    stores[archive.store].kind === 'directory'
      ? moveAway(archive, circumstances)
      : beside(verdict, circumstances),
  ].join('; ')
}

/** In a folder a person can move it away; then the next backup does not take it for a good one. */
function moveAway({ store, key, bytes, recorded }: Archive, { settings, newest }: Circumstances): string {
  const root = store === 'sfs' ? settings.sfs.cache : settings.melloBackups
  const files = [...(bytes === undefined ? [] : [key]), ...(recorded ? [recordName(key)] : [])]
  const again = newest ? ', and the next backup makes it anew' : ''
  return `move it away: mv ${files.map((file) => quoted(path.join(root, file))).join(' ')} ~/${again}`
}

/**
 * From an object store nothing is removed. A backup believes in what is there with the size of its record, and stores unchanged sources
 * no second time.
 */
function beside({ archive, record }: Verdict & { status: 'broken' }, { newest }: Circumstances): string {
  const stays = 'it stays, for nothing is ever removed there'
  if (!archive.stamp && archive.item === 'models')
    return `${stays}: give the model's file another name, and the next backup stores it again`
  if (!newest) return stays
  return record?.bytes === archive.bytes
    ? `${stays}: change something in its sources (touch a file of them), and the next backup stores them anew beside it`
    : `${stays}: the next backup stores its sources anew beside it`
}

function quoted(file: string): string {
  return /^[\w./-]+$/.test(file) ? file : quote(file)
}
