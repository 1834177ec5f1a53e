import { expect, test } from 'vitest'
import { isWrong } from '../../../lib/cli/finding.ts'
import type { CommandName } from '../../../lib/inventory.ts'
import { recordName } from '../../../lib/naming.ts'
import { assess } from '../../../lib/status/judge/assess.ts'
import { statusText, verdict } from '../../../lib/status/show/text.ts'
import { healthyWorld, hour, type Place, removeFile, runReport, unchanged, type World } from '../world.ts'

const now = new Date('2026-11-24T10:00:00Z')
const build = () => healthyWorld({ now, copies: 3, unchangedDays: 1, minutesAgo: 30, hetzner: false })
const place = ({ places }: World, store: string, item: string) =>
  places.find(({ expected }) => expected.store === store && expected.item.name === item) as Place
const findings = ({ seen }: World, trouble: string) =>
  assess(seen).findings.filter((finding) => finding.trouble === trouble)
/** A run of a command that says this of one item, and of the others that nothing changed. */
function run(world: World, command: CommandName, minutesAgo: number, item: string, says: object) {
  const time = new Date(now.getTime() - minutesAgo * 60_000)
  const report = runReport(command, time, world.places, unchanged)
  const items = report.items.map((one) => (one.item === item ? { ...one, ...says } : one))
  world.putReport(Object.assign(report, { items }))
}

test('a healthy world is all good', () => {
  expect(verdict(assess(build().seen))).toMatch(/^ALL GOOD/)
})

test('the toolkit that no run finds is missing, and no optional item', () => {
  const world = build()
  for (const store of ['sfs', 'mello', 'r2']) {
    const one = place(world, store, 'scripts')
    for (const key of one.keys) for (const name of [key, recordName(key)]) removeFile(one, name)
  }
  const absent = { status: 'skipped', absent: true, reason: 'not on verda, and optional', stores: {} }
  for (const command of ['backup-cron', 'backup-verda'] as const) run(world, command, 5, 'scripts', absent)
  expect(findings(world, 'missing').map(({ store, items }) => [store, items])).toEqual([
    ['sfs', ['scripts']],
    ['mello', ['scripts']],
    ['r2', ['scripts']],
  ])
})

test('certificates that were backed up and are gone from their host are an alarm, once', () => {
  const world = build()
  expect(findings(world, 'gone')).toEqual([])
  const absent = { status: 'skipped', absent: true, reason: 'not on verda, and optional', stores: {} }
  run(world, 'backup-cron', 5, 'ssl', absent)
  const [gone, ...more] = findings(world, 'gone')
  expect(more).toEqual([])
  expect(gone).toMatchObject({ status: 'wrong', items: ['ssl'] })
  expect(gone?.what).toMatch(/ssl is gone from its host, .* config\/ssl-.* has it as of/)
  run(world, 'backup-cron', 2, 'ssl', {})
  expect(findings(world, 'gone')).toEqual([])
})

test('a report from the future names its file, and stops alarming when a later run is good', () => {
  const world = build()
  const ahead = new Date(now.getTime() + 24 * hour)
  world.putReport(runReport('backup-cron', ahead, world.places))
  const shelf = place(world, 'sfs', 'env').shelf
  const key = 'runs/backup-cron-2026-11-25-10-00-00.json'
  const file = shelf.files.find((one) => one.key === key)
  if (file) file.modified = new Date(now.getTime() - hour)
  const [alarm] = findings(world, 'future')
  expect(alarm).toMatchObject({ status: 'warning' })
  expect(alarm?.what).toContain(`${key} on sfs is dated 2026-11-25 10:00, in the future`)
  // Nothing good was taken after it.
  if (file) file.modified = now
  expect(findings(world, 'future')).toMatchObject([{ status: 'wrong' }])
})

test('verify --adopt is the remedy only for what it could take, on the machine that has the store', () => {
  const world = build()
  const remedy = () =>
    findings(world, 'no record').map(({ status, what, todo }) => ({ status, text: `${what}. ${todo}` }))
  const r2 = place(world, 'r2', 'env')
  const [newest, older] = [r2.keys[0] as string, r2.keys.at(-1) as string]
  const fileOf = (key: string) =>
    r2.shelf.files.find((file) => file.key === key) as { bytes: number; modified: Date }
  removeFile(r2, recordName(newest))
  fileOf(newest).modified = new Date(now.getTime() - 2 * hour)
  const adopting = 'On Mello run: comfyume-backup verify --adopt --store r2 --only env. It reads'
  expect(remedy()).toEqual([{ status: 'wrong', text: expect.stringContaining(adopting) }])
  // It would take the place of one that holds more.
  fileOf(newest).bytes = 1
  expect(remedy()).toEqual([
    {
      status: 'wrong',
      text: expect.stringMatching(
        /verify --adopt writes none: it shrank from .* to 1 bytes, to \d+ % .* It stays as it is/,
      ),
    },
  ])
  // Of an older one, nothing can be done about it in a bucket, and newer ones are good.
  const other = build()
  Object.assign(world, other)
  const again = place(world, 'r2', 'env')
  removeFile(again, recordName(older))
  const verified = { bucket: 'cache', item: 'env', key: older, bytes: 0, modified: '', recorded: false }
  const file = again.shelf.files.find(({ key }) => key === older) as { bytes: number; modified: Date }
  Object.assign(verified, {
    bytes: file.bytes,
    modified: file.modified.toISOString(),
    at: now.toISOString(),
    reason: 'no file',
  })
  const about = {
    command: 'verify',
    environment: 'production',
    store: 'r2',
    startedAt: now,
    finishedAt: now,
    ok: true,
  }
  const key = 'runs/verify-2026-11-24-09-00-00.json'
  again.shelf.texts[key] = JSON.stringify({ ...about, broken: [], refused: [verified], items: [] })
  again.shelf.files.push({ key, bytes: 1, modified: now })
  expect(remedy()).toEqual([
    { status: 'warning', text: expect.stringContaining('verify --adopt writes none: no file') },
  ])
})

test('a store that is left out raises no alarm, whatever the others tell of it; nor do the credentials', () => {
  const world = build()
  const failed = { status: 'failed', stores: { mello: { status: 'failed', error: 'no room' } } }
  run(world, 'backup-verda', 5, 'env', failed)
  expect(findings(world, 'failed run')).toMatchObject([{ store: 'mello' }])
  for (const shelf of world.seen.shelves)
    if (shelf.store !== 'r2') Object.assign(shelf, { state: 'left out' })
  world.seen.withoutRepository = true
  world.seen.repository = { problem: 'no answer' }
  const state = assess(world.seen)
  expect(state.findings.filter(isWrong)).toEqual([])
  expect(verdict(state)).toMatch(/^PARTLY CHECKED: no problem found/)
})

test('credentials that changed on Mello and were not pushed are an alarm', () => {
  const world = build()
  world.seen.repository = { time: now, changed: ['nginx/.htpasswd'] }
  const state = assess(world.seen)
  expect(state.ok).toBe(false)
  expect(state.findings[0]?.what).toContain('nginx/.htpasswd on this machine is not what was pushed')
  expect(state.findings[0]?.todo).toContain('comfyume-backup backup-mello --only credentials')
})

test('the verdict is the last line too, and the table names after how long something is overdue', () => {
  const world = build()
  const told = () => statusText(assess(world.seen)).split('\n')
  expect(told().at(-1)).toMatch(/^ALL GOOD, everything could be restored right now/)
  expect(told().find((line) => line.includes('config/env-'))).toMatch(/ every hour +2 h /)
  world.seen.repository = { time: now, changed: ['nginx/.htpasswd'] }
  expect(told().at(-1)).toBe('ACTION NEEDED: 1 problem')
})

test('a warning is shown for as long as the newest run repeats it', () => {
  const world = build()
  const warnings = ['/home/dev/disk is on another file system and is left out']
  run(world, 'backup-verda', 5, 'home-dev', { warnings })
  const state = assess(world.seen)
  expect(state.ok).toBe(true)
  expect(statusText(state)).toContain(
    'warning: home-dev: /home/dev/disk is on another file system and is left out',
  )
  run(world, 'backup-verda', 2, 'home-dev', {})
  expect(findings(world, 'warning')).toEqual([])
})

test('what changed while it was read stands in the record of the newest copy, and is shown', () => {
  const world = build()
  const one = place(world, 'mello', 'env')
  const record = recordName(one.keys[0] as string)
  one.shelf.texts[record] = `# changed: home/dev/log\n${one.shelf.texts[record]}`
  for (const shelf of world.seen.shelves)
    for (const key of Object.keys(shelf.texts)) if (key.startsWith('runs/')) delete shelf.texts[key]
  expect(findings(world, 'warning')[0]?.what).toBe('env: 1 changed while they were read: home/dev/log')
})

test('so is what its record warns of', () => {
  const world = build()
  const one = place(world, 'mello', 'env')
  const record = recordName(one.keys[0] as string)
  const warning = JSON.stringify({ kind: 'device', path: 'home/dev/null' })
  one.shelf.texts[record] = `# warning: ${warning}\n${one.shelf.texts[record]}`
  for (const shelf of world.seen.shelves)
    for (const key of Object.keys(shelf.texts)) if (key.startsWith('runs/')) delete shelf.texts[key]
  expect(findings(world, 'warning')[0]?.what).toBe('env: home/dev/null is a device and is left out')
})

test('unfinished uploads are shown with their size', () => {
  const world = build()
  const shelf = place(world, 'r2', 'models').shelf
  shelf.unfinished = [
    { key: 'loras/big.safetensors', bytes: 3 * 2 ** 30, begun: new Date('2026-11-23T08:00:00Z') },
  ]
  const [found] = findings(world, 'unfinished')
  expect(found).toMatchObject({ status: 'warning', store: 'r2' })
  expect(found?.what).toContain(
    '1 unfinished upload, 3.0 GB: loras/big.safetensors (3.0 GB of 2026-11-23 08:00)',
  )
})

test('what was never read back is said, and when the rest was', () => {
  const world = build()
  const state = assess(world.seen)
  expect(verdict(state)).toBe(
    'ALL GOOD, everything could be restored right now if nothing rotted since it was stored: verify has read nothing yet',
  )
  expect(state.notes.join('\n')).toContain('Nothing on Cloudflare R2 was read back since it was stored')
  const shelf = place(world, 'r2', 'env').shelf
  const items = state.cells
    .filter(({ store }) => store === 'r2')
    .map(({ item, copies, bytes, newest }) => ({
      item,
      archives: copies,
      bytes,
      unread: item === 'env' ? { archives: 2, bytes: 2048 } : { archives: 0, bytes: 0 },
      good: { key: newest?.key, at: '2026-11-20T05:00:00.000Z' },
    }))
  const at = '2026-11-20T05:00:00.000Z'
  const key = 'runs/verify-2026-11-20-05-00-00.json'
  const about = { command: 'verify', environment: 'production', store: 'r2', startedAt: at, finishedAt: at }
  shelf.texts[key] = JSON.stringify({ ...about, ok: true, broken: [], items })
  shelf.files.push({ key, bytes: 1, modified: new Date(at) })
  const next = assess(world.seen)
  expect(next.notes.join('\n')).toContain('verify has not yet read 2 archives (2.0 KB) on Cloudflare R2')
  expect(verdict(next)).toBe('ALL GOOD, everything could be restored right now')
  expect(statusText(next)).toMatch(/Cloudflare R2 +config\/env-\S+ .* 2026-11-20 +at 2, 6, 14, 18 h/)
})

test('what verify never looked at, and what came after its look, is unread', () => {
  const world = build()
  const cells = assess(world.seen).cells.filter(({ store, copies }) => store === 'r2' && copies > 0)
  const { shelf } = place(world, 'r2', 'env')
  const at = '2026-11-20T05:00:00.000Z'
  const key = 'runs/verify-2026-11-20-05-00-00.json'
  const about = { command: 'verify', environment: 'production', store: 'r2', startedAt: at, finishedAt: at }
  const unread = { archives: 0, bytes: 0 }
  shelf.files.push({ key, bytes: 1, modified: new Date(at) })
  const noteOf = (archives: number, bytes: number) => {
    const items = [{ item: 'env', archives, bytes, unread, good: { key: 'config/env-old.tar.gz', at } }]
    shelf.texts[key] = JSON.stringify({ ...about, ok: true, broken: [], items })
    return assess(world.seen)
  }
  const all = cells.reduce((sum, { copies }) => sum + copies, 0)
  const own = cells.find(({ item }) => item === 'env')
  const verified = noteOf(own?.copies as number, own?.bytes as number)
  expect(verified.notes.join('\n')).toContain(
    `verify has not yet read ${all - (own?.copies as number)} archives`,
  )
  expect(statusText(verified)).toMatch(/Cloudflare R2 +config\/env-\S+ .* 2026-11-20 \(older\)/)
  expect(noteOf(1, 1).notes.join('\n')).toContain(`verify has not yet read ${all - 1} archives`)
})

test('credentials that could not be compared with what was pushed leave the verdict open', () => {
  const world = build()
  world.seen.repository = { time: now, uncompared: '/home/dev/.env cannot be read on this machine' }
  const state = assess(world.seen)
  expect(state.findings.filter(isWrong)).toEqual([])
  expect(verdict(state)).toMatch(/^PARTLY CHECKED/)
})

test('credentials that were pushed once, and are skipped since, are an alarm', () => {
  const world = build()
  world.seen.repository = undefined
  const report = (minutesAgo: number, outcome: object) => {
    const time = new Date(now.getTime() - minutesAgo * 60_000)
    const run = runReport('backup-mello', time, world.places)
    const credentials = { item: 'credentials', ...outcome } as (typeof run.items)[number]
    world.putReport(Object.assign(run, { items: [...run.items, credentials] }))
  }
  report(25, { status: 'stored', stores: { git: { status: 'stored', key: 'HEAD' } } })
  expect(verdict(assess(world.seen))).toMatch(/^ALL GOOD/)
  report(5, { status: 'skipped', reason: 'CREDENTIALS_REPO is not set', stores: {} })
  expect(findings(world, 'missing')).toMatchObject([
    {
      status: 'wrong',
      items: ['credentials'],
      what: expect.stringMatching(/last pushed on .*: CREDENTIALS_REPO is not set/),
    },
  ])
})

test('a report of verify that names something broken, and cannot be read whole, makes nothing good', () => {
  const world = build()
  const { shelf } = place(world, 'r2', 'env')
  const at = '2026-11-24T05:00:00.000Z'
  const key = 'runs/verify-2026-11-24-05-00-00.json'
  const about = { command: 'verify', environment: 'production', store: 'r2', startedAt: at, finishedAt: at }
  const put = (broken: unknown) => {
    shelf.texts[key] = JSON.stringify({ ...about, ok: false, broken, items: [] })
  }
  shelf.files.push({ key, bytes: 1, modified: new Date(at) })
  put([])
  expect(findings(world, 'broken')).toEqual([])
  put([{ bucket: 'cache', item: 'env', key: 'config/env-2026-11-23.tar.gz', at, reason: 7 }])
  expect(findings(world, 'broken')).toMatchObject([{ status: 'wrong', store: 'r2' }])
  expect(findings(world, 'broken')[0]?.what).toMatch(
    /runs\/verify-\S+ on r2 bucket cache cannot be read: what verify/,
  )
  // The next good report ends it.
  const next = 'runs/verify-2026-11-24-06-00-00.json'
  shelf.files.push({ key: next, bytes: 1, modified: new Date(at) })
  shelf.texts[next] = JSON.stringify({ ...about, ok: true, broken: [], items: [] })
  expect(findings(world, 'broken')).toEqual([])
})

test('live models that no backup takes are an alarm between two runs too, unless Verda is off', () => {
  const world = build()
  Object.assign(world.seen.models as object, {
    failures: ['loras/gone.safetensors is a dangling link'],
    warnings: ['loras/new.safetensors is not whole yet'],
  })
  const about = ({ seen }: World) => {
    const { findings, quiet } = assess(seen)
    return [findings, quiet].map((all) => all.map(({ status, what }) => `${status} ${what}`))
  }
  const alarm = 'wrong models on PROD_SFS: loras/gone.safetensors is a dangling link'
  const warning = 'warning models on PROD_SFS: loras/new.safetensors is not whole yet'
  expect(about(world)).toEqual([[alarm, warning], []])
  world.seen.verdaOff = { since: now, answers: false }
  expect(about(world)).toEqual([[warning], [alarm]])
  delete world.seen.verdaOff
  delete world.seen.models?.failures
  expect(verdict(assess(world.seen))).toMatch(
    /^ALL GOOD but for what 1 warning says, everything could be restored right now/,
  )
})
