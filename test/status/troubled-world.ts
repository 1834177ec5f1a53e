import { recordName } from '../../lib/naming.ts'
import type { Seen } from '../../lib/status/look/seen.ts'
import { day, healthyWorld, hour, type Place, removeFile, runReport } from './world.ts'

const MB = 1024 ** 2
const GB = 1024 * MB

/** Two months of a workshop of the facts' size, in which much went wrong, and somebody gave files names to hurt whoever shows them. */
export function troubledWorld(): Seen {
  const now = new Date('2026-11-24T10:07:00Z')
  const world = healthyWorld({ now, copies: 60, unchangedDays: 0, minutesAgo: 20, hetzner: false, bytesOf })
  const { seen, places, putReport } = world
  const place = (store: string, item: string) =>
    places.find(({ expected }) => expected.store === store && expected.item.name === item) as Place
  const file = (of: Place, index: number) => of.shelf.files.find(({ key }) => key === of.keys[index])

  for (const { keys, shelf } of [place('mello', 'scripts'), place('r2', 'root-home')])
    for (const key of keys) for (const name of [key, recordName(key)]) removeFile({ shelf }, name)
  const cut = file(place('sfs', 'home-dev'), 0)
  if (cut) cut.bytes = 45
  removeFile(place('r2', 'env'), recordName(place('r2', 'env').keys[3] as string))
  removeFile(place('mello', 'ufw'), place('mello', 'ufw').keys[2] as string)
  const failed = (one: Place) =>
    one.expected.item.name === 'comfyume-worker' && one.expected.store === 'r2'
      ? { status: 'failed', error: 'r2 bucket comfyume-worker-container-backups: <b>no</b> & "never"' }
      : undefined
  const report = runReport('backup-verda', new Date(now.getTime() - hour / 10), places, failed)
  putReport(Object.assign(report, { ok: false }))
  for (let days = 1; days < 40; days++)
    putReport(runReport('backup-cron', new Date(now.getTime() - days * day), places))

  // On R2 home-dev failed for three days, and for two Mello was off.
  for (const one of places.filter(({ expected, keys }) => expected.store === 'r2' && keys.length === 60))
    for (const age of one.expected.item.name === 'home-dev' ? [6, 7, 8, 13, 14] : [13, 14])
      for (const name of [one.keys[age] as string, recordName(one.keys[age] as string)]) removeFile(one, name)
  for (const age of [6, 7, 8]) {
    const time = new Date(now.getTime() - age * day)
    const full = ({ expected: { item, store } }: Place) =>
      item.name === 'home-dev' && store === 'r2' ? { status: 'failed', error: 'the disk is full' } : undefined
    putReport(Object.assign(runReport('backup-verda', time, places, full), { ok: false }))
  }

  for (const shelf of seen.shelves) {
    const { store, bucket, files } = shelf
    if (store === 'mello') for (const key of hostileNames) files.push({ key, bytes: 7, modified: now })
    if (store === 'mello') shelf.room = { freeBytes: 9 * GB, totalBytes: 80 * GB }
    if (store === 'sfs') shelf.room = { freeBytes: 310 * GB, totalBytes: 1000 * GB }
    const modified = new Date(now.getTime() - 50 * day)
    if (bucket === 'models') files.push({ key: 'checkpoints/large.safetensors', bytes: 180 * GB, modified })
  }
  return seen
}

export const hostileNames = [
  '<script>document.title = "taken"</script>',
  '<img src=x onerror=document.title="taken">',
  '"><svg onload=document.title="taken">',
  '</style><style>body{display:none}',
  'https://example.invalid/?\u202egnp.exe',
  `${'a-very-long-name-without-any-place-to-break-'.repeat(6)}.bin`,
]

/** About what the facts say: images of some GB, configuration of a few KB to some GB. */
function bytesOf(item: string, age: number): number {
  if (item.startsWith('comfyume-')) return 40 * MB + (60 - age) * 1e5
  if (item === 'home-dev' || item === 'root-home') return 80 * MB + (60 - age) * 4e5
  return item.startsWith('user-') ? 500 * MB + (60 - age) * 6e6 : 5000 + item.length
}
