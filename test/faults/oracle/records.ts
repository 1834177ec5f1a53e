import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { sha256, sources, stateOf } from '../sources.ts'
import type { StoreName, World } from '../world.ts'
import type { View } from './view.ts'

/** An archive that has a record. */
export interface Backup {
  store: StoreName
  /** The archive's key. */
  key: string
  recordKey: string
  item: string
  /** From the record. */
  time: string
  sha256: string
  /** Absent if the archive matches its record, byte for byte, as does all that it builds on. */
  wrong?: string
  /** Of an increment: the keys that it builds on, whole first, as far as they can be followed. */
  links: string[]
}

/** The fault of an archive that has the right size. */
export const otherContent = 'its content is not what its record says'

/** Every backup of a store, read by hand. If an archive has two records (unfinished), the one that fits. */
export function backupsIn(store: StoreName, view: View): Backup[] {
  const found = new Map<string, Backup>()
  for (const [recordKey, { content }] of view) {
    const key = /^(.*)\.sha256(\.next)?$/.exec(recordKey)?.[1]
    if (key === undefined || path.basename(key).startsWith('.')) continue
    const backup = { store, key, recordKey, links: [], ...compared(key, content.toString(), view) }
    // A record without its final name counts only if it is the one that fits.
    const counts = recordKey.endsWith('.next') ? backup.wrong === undefined : found.get(key) === undefined
    if (counts) found.set(key, backup)
  }
  for (const backup of found.values()) follow(backup, found, view)
  return [...found.values()]
}

/** An increment's record has a second digest line: that of the archive before it. */
function follow(backup: Backup, found: ReadonlyMap<string, Backup>, view: View): void {
  const folder = path.posix.dirname(backup.key)
  const baseOf = ({ recordKey }: Backup): { digest: string; key: string } | undefined => {
    const record = view.get(recordKey)?.content.toString() ?? ''
    const [, digest = '', name = ''] = [...record.matchAll(/^([0-9a-f]{64}) {2}(.+)$/gm)][1] ?? []
    return digest === '' ? undefined : { digest, key: folder === '.' ? name : `${folder}/${name}` }
  }
  for (let base = baseOf(backup); base !== undefined && !backup.links.includes(base.key); ) {
    backup.links.unshift(base.key)
    const at = found.get(base.key)
    if (at?.sha256 !== base.digest || at.wrong !== undefined)
      backup.wrong ??= `it builds on ${base.key}, which is none`
    base = at && baseOf(at)
  }
  if (backup.links.length === 0) return
  const [, digest] =
    /^# list: ([0-9a-f]{64})/m.exec(view.get(backup.recordKey)?.content.toString() ?? '') ?? []
  if (view.get(listOf(backup.key))?.sha256 !== digest) backup.wrong ??= 'its list is not what its record says'
}

export const listOf = (key: string) => key.replace(/\.tar\.gz$/, '.list.gz')

/** Whether a fault damaged it, or what it builds on. */
export function isDamaged({ damaged }: World, { store, key, links }: Backup): boolean {
  return [key, ...links].some((one) => damaged.has(`${store} ${one}`))
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

/** Unpacks archives as docs/restore.md says, and describes them as stateNow() describes the sources. */
export function unpacker(world: World): (backup: Backup, view: View) => string {
  const known = new Map<string, string>()
  return ({ item, key, links }, view) => {
    const keys = [...links, key]
    const id = [item, ...keys.map((one) => view.get(one)?.sha256)].join(' ')
    const state = known.get(id) ?? unpacked(world, item, keys, view)
    known.set(id, state)
    return state
  }
}

function unpacked(world: World, item: string, keys: readonly string[], view: View): string {
  const source = sources[item]
  if (source === undefined) return `an archive of ${item}, which the campaign does not back up`
  const folder = mkdtempSync(path.join(world.folder, 'unpack-'))
  try {
    const file = path.join(folder, 'archive')
    const base = path.join(folder, 'root', source.host === 'images' ? item : '')
    mkdirSync(base, { recursive: true })
    for (const key of keys) {
      const list = keys.length > 1 ? view.get(listOf(key)) : undefined
      for (const [, gone = ''] of list
        ? gunzipSync(list.content)
            .toString()
            .matchAll(/^- (.*)$/gm)
        : [])
        rmSync(path.join(base, gone), { recursive: true, force: true })
      writeFileSync(file, (view.get(key) as { content: Buffer }).content)
      execFileSync('tar', ['-xpzf', file, '--numeric-owner', '-C', base], { stdio: 'pipe' })
    }
    return stateOf(path.join(folder, 'root'), source)
  } catch (error) {
    return `cannot be unpacked: ${(error as { stderr?: Buffer }).stderr?.toString().trim() ?? error}`
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Clause 1: every archive that has a record is intact, and holds the sources as they were at its time. */
export function checkBackups(
  world: World,
  view: View,
  backups: readonly Backup[],
  unpack: ReturnType<typeof unpacker>,
): string[] {
  return backups.flatMap((backup) => {
    const { store, key, item, time, wrong } = backup
    const name = `${store} ${key}`
    if (isDamaged(world, backup)) return []
    // Rotation removes the archive first; the next unbroken run must remove the record.
    if (store === 'sfs' && wrong === 'only its record is there') return []
    if (wrong !== undefined) return [`archive: ${name}: ${wrong}`]
    if (item === 'models') {
      const file = key.split('/').slice(1).join('/')
      const model = world.readVerda(`mnt/sfs/models/${file}`)
      return sha256(model) === backup.sha256 ? [] : [`archive: ${name} is not the model that it is named for`]
    }
    const state = unpack(backup, view)
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
