import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { sha256, sources, stateOf } from '../sources.ts'
import type { StoreName, World } from '../world.ts'
import type { View } from './view.ts'

/** An archive that a record speaks for. */
export interface Backup {
  store: StoreName
  /** Of the archive. */
  key: string
  recordKey: string
  item: string
  /** As the record gives it. */
  time: string
  sha256: string
  /** Absent when the archive is, byte for byte, what its record says. */
  wrong?: string
}

/** What is wrong with an archive of the right size. */
export const otherContent = 'its content is not what its record says'

/** Every backup of a store, read by hand: of an archive with two records (a pair that is being put in place) the one that fits. */
export function backupsIn(store: StoreName, view: View): Backup[] {
  const found = new Map<string, Backup>()
  for (const [recordKey, { content }] of view) {
    const key = /^(.*)\.sha256(\.next)?$/.exec(recordKey)?.[1]
    if (key === undefined || path.basename(key).startsWith('.')) continue
    const backup = { store, key, recordKey, ...compared(key, content.toString(), view) }
    // A record that is not yet in its place counts only where it is the one that fits.
    const counts = recordKey.endsWith('.next') ? backup.wrong === undefined : found.get(key) === undefined
    if (counts) found.set(key, backup)
  }
  return [...found.values()]
}

function compared(
  key: string,
  record: string,
  view: View,
): Pick<Backup, 'item' | 'time' | 'sha256' | 'wrong'> {
  const said = (name: string) => new RegExp(`^# ${name}: (.*)$`, 'm').exec(record)?.[1] ?? ''
  const [, digest = '', name = ''] = /^([0-9a-f]{64}) {2}(.+)$/m.exec(record) ?? []
  const about = { item: said('item'), time: said('time'), sha256: digest }
  const archive = view.get(key)
  const wrong =
    digest === ''
      ? 'its record is none'
      : name !== path.basename(key)
        ? `its record speaks of ${name}`
        : archive === undefined
          ? 'only its record is there'
          : archive.content.length !== Number(said('bytes'))
            ? `it has ${archive.content.length} bytes, its record says ${said('bytes')}`
            : archive.sha256 !== digest
              ? otherContent
              : undefined
  return { ...about, ...(wrong !== undefined ? { wrong } : {}) }
}

/** Unpacks archives with tar, and says what they hold as the sources say it of themselves. */
export function unpacker(world: World): (backup: Backup, content: Buffer) => string {
  const known = new Map<string, string>()
  return ({ item, sha256: digest }, content) => {
    const id = `${item} ${digest}`
    const state = known.get(id) ?? unpacked(world, item, content)
    known.set(id, state)
    return state
  }
}

function unpacked(world: World, item: string, content: Buffer): string {
  const source = sources[item]
  if (source === undefined) return `an archive of ${item}, which the campaign does not back up`
  const folder = mkdtempSync(path.join(world.folder, 'unpack-'))
  try {
    const file = path.join(folder, 'archive')
    const base = path.join(folder, 'root', source.host === 'images' ? item : '')
    mkdirSync(base, { recursive: true })
    writeFileSync(file, content)
    execFileSync('tar', ['-xpzf', file, '--numeric-owner', '-C', base], { stdio: 'pipe' })
    return stateOf(path.join(folder, 'root'), source)
  } catch (error) {
    return `cannot be unpacked: ${(error as { stderr?: Buffer }).stderr?.toString().trim() ?? error}`
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Clause 1: everything that a record speaks for is whole, and is what its sources were at the time that the record gives. */
export function checkBackups(
  world: World,
  view: View,
  backups: readonly Backup[],
  unpack: ReturnType<typeof unpacker>,
): string[] {
  return backups.flatMap((backup) => {
    const { store, key, item, time, wrong } = backup
    const name = `${store} ${key}`
    if (world.damaged.has(name)) return []
    // Rotation takes the archive first; that its record follows is seen after the next whole run.
    if (store === 'sfs' && wrong === 'only its record is there') return []
    if (wrong !== undefined) return [`archive: ${name}: ${wrong}`]
    const content = (view.get(key) as { content: Buffer }).content
    if (item === 'models') {
      const file = key.split('/').slice(1).join('/')
      const model = world.readVerda(`mnt/sfs/models/${file}`)
      return sha256(model) === backup.sha256 ? [] : [`archive: ${name} is not the model that it is named for`]
    }
    const state = unpack(backup, content)
    if (world.isTruth(item, time, state)) return []
    const why = !world.hasTruth(item, time)
      ? `no run was at ${time}`
      : /^[0-9a-f]{64}$/.test(state)
        ? `it is not what its sources were at ${time}: ${world.untruth(item, time, state)}`
        : state === 'nothing'
          ? `it holds nothing of ${item}`
          : state
    return [`archive: ${name}: ${why}`]
  })
}
