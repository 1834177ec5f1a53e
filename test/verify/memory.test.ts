import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stateFolder } from '../../lib/files/state.ts'
import { restoringMarker } from '../../lib/inventory.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { openMemory } from '../../lib/verify/memory.ts'
import type { Archive } from '../../lib/verify/survey.ts'

let folder: string
let warnings: string[]
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'memory-'))
  warnings = []
})
afterEach(() => rmSync(folder, { recursive: true }))

const archive: Archive = {
  store: 'sfs',
  bucket: 'cache',
  item: 'env',
  key: 'config/env-2026-11-24.tar.gz',
  bytes: 10,
  modified: new Date('2026-11-24T05:00:00Z'),
  recorded: true,
}
const seen = { at: '2026-11-24T10:00:00.000Z', status: 'good', sha256: 'ab', recorded: true } as const
const memory = (cache = '/mnt/sfs/cache') =>
  openMemory(path.join(folder, 'verify'), 'sfs', readSettings({ SFS_CACHE: cache }, []), (text) =>
    warnings.push(text),
  )
const file = () => path.join(folder, 'verify', readdirSync(path.join(folder, 'verify'))[0] as string)

test('what one run saves the next one knows, in files that are only this user’s', async () => {
  const first = await memory()
  expect(first.seen(archive)).toBeUndefined()
  first.note(archive, seen)
  await first.save()
  expect((await memory()).seen(archive)).toMatchObject(seen)
  expect(statSync(file()).mode & 0o777).toBe(0o600)
  expect(statSync(path.join(folder, 'verify')).mode & 0o777).toBe(0o700)
  expect(warnings).toEqual([])
})

test.each([
  ['replaced by one of another size', { bytes: 11 }],
  ['replaced by one of the same size', { modified: new Date('2026-11-24T06:00:00Z') }],
  ['given a record', { recorded: false }],
  ['another', { key: 'config/env-2026-11-23.tar.gz' }],
  ['in another bucket', { bucket: 'containers' as const }],
])('an archive that is %s was never verified', async (_, change) => {
  const one = await memory()
  one.note(archive, seen)
  expect(one.seen({ ...archive, ...change })).toBeUndefined()
  expect(one.seen(archive)).toBeDefined()
})

test('two stores of one name do not know of each other', async () => {
  const one = await memory('/one/cache')
  one.note(archive, seen)
  await one.save()
  expect((await memory('/two/cache')).seen(archive)).toBeUndefined()
})

test('which archive the next run begins with is known to it, and once', async () => {
  const one = await memory()
  expect(one.isFirst(archive)).toBe(false)
  one.setFirst(archive)
  await one.save()
  const next = await memory()
  expect(next.isFirst(archive)).toBe(true)
  next.setFirst()
  await next.save()
  expect((await memory()).isFirst(archive)).toBe(false)
})

test('what is no longer there is forgotten', async () => {
  const one = await memory()
  const other = { ...archive, key: 'config/env-2026-11-23.tar.gz' }
  one.note(archive, seen)
  one.note(other, seen)
  await one.save()
  const next = await memory()
  next.keepOnly([other])
  await next.save()
  const last = await memory()
  expect([last.seen(archive), last.seen(other)]).toEqual([undefined, expect.anything()])
})

test('of two runs at once, what either verified is known, and of the same archive the later', async () => {
  const [one, two] = [await memory(), await memory()]
  const other = { ...archive, key: 'config/env-2026-11-23.tar.gz' }
  one.note(archive, seen)
  two.note(archive, { ...seen, at: '2026-11-24T11:00:00.000Z' })
  two.note(other, seen)
  await two.save()
  await one.save()
  const last = await memory()
  expect(last.seen(archive)?.at).toBe('2026-11-24T11:00:00.000Z')
  expect(last.seen(other)).toBeDefined()
})

test.each(['', '{"archives":', '[]', 'null', '{"archives":null}'])(
  'a file with %j is started over, and that is told',
  async (text) => {
    const one = await memory()
    one.note(archive, seen)
    await one.save()
    writeFileSync(file(), text)
    const next = await memory()
    expect(next.seen(archive)).toBeUndefined()
    expect(warnings[0]).toMatch(/could not be read and is started over: .*sfs-.*\.json/)
    next.note(archive, seen)
    await next.save()
    expect((await memory()).seen(archive)).toBeDefined()
  },
)

test('entries that are none are passed over', async () => {
  const one = await memory()
  one.note(archive, seen)
  await one.save()
  const content = JSON.parse(readFileSync(file(), 'utf8'))
  const [[id, entry]] = Object.entries(content.archives) as [[string, object]]
  const strange = {
    x: null,
    y: { at: 1 },
    'cache/z': { ...entry, at: 'never' },
    'cache/v': { ...entry, status: 'fine' },
  }
  writeFileSync(file(), JSON.stringify({ ...content, archives: { [id]: entry, ...strange } }))
  const next = await memory()
  expect(next.seen(archive)).toBeDefined()
  for (const key of ['z', 'v']) expect(next.seen({ ...archive, key })).toBeUndefined()
  expect(warnings).toEqual([])
})

test('the folder is where XDG_STATE_HOME says, when that is a path, else where the system keeps such things', () => {
  const isRoot = process.getuid?.() === 0
  const usual = isRoot
    ? '/var/lib/comfyume-backup-state'
    : path.join(homedir(), '.local/state/comfyume-backup')
  expect(stateFolder('/some/where')).toBe('/some/where/comfyume-backup')
  for (const none of [undefined, '', 'relative/path']) expect(stateFolder(none)).toBe(usual)
})

test('what a run remembers does not look like a restore to a capture', () => {
  // The time of the marker's folder tells a capture that a restore ran meanwhile.
  expect(stateFolder(undefined).startsWith(`${path.dirname(restoringMarker)}/`)).toBe(false)
  expect(stateFolder(undefined)).not.toBe(path.dirname(restoringMarker))
})
