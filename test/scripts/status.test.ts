import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Assessment } from '../../lib/status/judge/assess.ts'
import { buildWorkshop, cacheBucket, containersBucket, type Workshop } from './workshop.ts'

let workshop: Workshop

/** Everything is backed up everywhere at ten. */
async function backUpAll(): Promise<void> {
  const { verda } = workshop
  verda.write('opt/comfyume-backup/package.json', '{}')
  verda.write('opt/comfyume-backup/bin/node', 'a runtime', 0o755)
  const runs = [
    await verda.cron(),
    await verda.cron(['--only', 'home-dev,root-home,scripts,containers']),
    await workshop.backupVerda(),
    await workshop.backupMello(),
  ]
  expect(runs.map(({ code }) => code)).toEqual([0, 0, 0, 0])
}

const status = (args: string[] = [], env: Record<string, string> = {}) =>
  workshop.verda.script('status', args, { env })

async function assessment(args: string[] = [], env: Record<string, string> = {}): Promise<Assessment> {
  const { stdout, stderr } = await status(['--json', ...args], env)
  expect(stderr).toBe('')
  return JSON.parse(stdout)
}

const troubles = ({ findings }: Assessment) =>
  findings.map(({ trouble, store, items }) => `${trouble} ${store}: ${items.join(',')}`)

/** Verda behind an ssh that leads nowhere. */
const away = () => ({
  VERDA_SSH: 'nobody@127.0.0.1',
  SFS_ROOT: path.join(workshop.verda.folder, 'nowhere'),
  SFS_CACHE: workshop.verda.cache,
})

describe('of a workshop in which everything was backed up', () => {
  beforeAll(async () => {
    workshop = await buildWorkshop()
    await backUpAll()
  })
  afterAll(() => workshop.dispose())

  test('all is good after everything was backed up, and each store was listed once, a bucket', async () => {
    const before = workshop.r2.log.length
    const run = await status()
    expect(run.stderr).toBe('')
    expect(run.stdout).toContain('ALL GOOD')
    expect(run.code).toBe(0)
    const requests = workshop.r2.log.slice(before).map(({ operation }) => operation)
    expect(requests.filter((operation) => operation === 'ListObjectsV2').length).toBe(4)
    expect(new Set(requests)).toEqual(new Set(['ListObjectsV2', 'GetObject', 'ListMultipartUploads']))
    expect(run.stdout).toMatch(/SFS cache +config\/env-2026-11-24\.tar\.gz +2026-11-24 10:00/)
    expect(run.stdout).toContain('3 of 3 copies seen, promise kept')
    expect(run.stdout).toContain('next 2026-11-24 14:10  backup-verda --only config,scripts --to r2')
  })

  test('two days later the old promise is not enough: what is overdue, since when, and what to do', async () => {
    const run = await status([], { BACKUP_NOW: '2026-11-27T12:00:00Z' })
    expect(run.code).toBe(1)
    expect(run.stdout).toContain('last known good 2026-11-24 10:00, 3 days ago')
    expect(run.stdout).toContain('tail /var/log/comfyume-backup.log')
  })

  test('a share that is not mounted is no empty share', async () => {
    const run = await status(['--stores', 'sfs'], { SFS_REQUIRE_MOUNT: '1' })
    expect(run.code).toBe(1)
    expect(run.stdout).toContain('is not mounted on verda')
    expect(run.stdout).not.toContain('MISSING')
  })

  test('Verda that is off on purpose raises no alarm until it answers again', async () => {
    const unmarked = await status([], away())
    expect(unmarked.code).toBe(1)
    expect(unmarked.stdout).toContain('UNREACHABLE: SFS cache is unreachable')

    // Like a Mello that saw SFS before and remembers it in a file.
    const marked = await status(['--verda-off'], away())
    expect(marked.stdout).toContain('Verda is marked as off on purpose since 2026-11-24T10:00Z')
    expect(marked.stdout).toContain('backup-verda last said SAFE TO SHUT DOWN at 2026-11-24T10:00Z')
    expect(marked.code).toBe(0)
    const later = { ...away(), BACKUP_NOW: '2026-11-24T11:30:00Z' }
    expect((await status([], later)).code).toBe(0)
    const folder = path.join(workshop.verda.folder, 'state/comfyume-backup')
    const file = readdirSync(folder).find((name) => name.startsWith('status-')) ?? ''
    expect(statSync(path.join(folder, file)).mode & 0o777).toBe(0o600)
    expect(JSON.parse(readFileSync(path.join(folder, file), 'utf8')).verdaOff).toBe(
      '2026-11-24T10:00:00.000Z',
    )
  })

  test('--list shows everything in a store with sizes and a total, --only the named items', async () => {
    const all = await status(['--list', 'r2'])
    expect(all.code).toBe(0)
    expect(all.stdout).toContain(`r2 bucket ${cacheBucket}: `)
    expect(all.stdout).toMatch(
      / {2}20\d\d-\d\d-\d\d \d\d:\d\d {2}\d+ bytes +config\/env-2026-11-24\.tar\.gz\n/,
    )
    expect(all.stdout).toMatch(/^total: \d+ entries, \d+ KB$/m)
    expect((await status(['--list', 'sfs'])).stdout).not.toContain('.locks')
    const some = await status(['--list', 'sfs', '--only', 'containers'])
    expect(some.stdout.match(/comfyume-\w+/g)?.length).toBeGreaterThan(4)
    expect(some.stdout).not.toContain('tailscale')
    const json = JSON.parse((await status(['--list', 'mello', '--only', 'env', '--json'])).stdout)
    expect(json[0].files.map(({ key }: { key: string }) => key)).toEqual([
      'config/env-2026-11-24.tar.gz',
      'config/env-2026-11-24.tar.gz.sha256',
    ])
  })

  test('--html writes a page beside the text, and leaves no other file', async () => {
    const folder = path.join(workshop.verda.folder, 'pages')
    mkdirSync(folder)
    const run = await status(['--html', path.join(folder, 'status.html'), '--quiet'])
    expect([run.stderr, run.stdout, run.code]).toEqual(['', '', 0])
    const page = readFileSync(path.join(folder, 'status.html'), 'utf8')
    expect(page).toContain('All good, everything could be restored right now')
    expect(page.replaceAll(/<\/?span>/g, '')).toContain('config,scripts --to r2</code>')
    expect(page).not.toContain(workshop.r2.secretAccessKey)
    expect(readdirSync(folder)).toEqual(['status.html'])
    const nowhere = await status(['--html', path.join(folder, 'none/status.html')])
    expect(nowhere.code).toBe(1)
    expect(nowhere.stderr).toContain('could not be written: ENOENT')
    expect(nowhere.stdout).toContain('ALL GOOD')
  })

  test('nothing is written to any store', async () => {
    const everything = () =>
      [workshop.backups, workshop.verda.sfs].map((folder) => readdirSync(folder, { recursive: true }))
    const before = everything()
    const written = workshop.written().length
    await status()
    expect(everything()).toEqual(before)
    expect(workshop.written().length).toBe(written)
  })

  test('finds what is damaged in each store, and says so first', async () => {
    truncateSync(path.join(workshop.verda.cache, 'config/env-2026-11-24.tar.gz'), 10)
    rmSync(path.join(workshop.backups, 'config/ufw-2026-11-24.tar.gz'))
    rmSync(path.join(workshop.backups, 'comfyume-admin-2026-11-24.tar.gz.sha256'))
    writeFileSync(path.join(workshop.backups, 'holiday.jpg'), 'sea')
    await workshop.r2.put(containersBucket, 'comfyume-worker-2026-11-23.tar.gz', Buffer.from('half'))
    const found = await assessment()
    expect(troubles(found)).toEqual([
      'missing sfs: env',
      'missing mello: ufw,comfyume-admin',
      'broken sfs: env',
      'no archive mello: ufw',
      'no record mello: comfyume-admin',
      'no record r2: comfyume-worker',
      'unexpected mello: ',
    ])
    const { stdout, code } = await status(['--quiet'])
    expect(code).toBe(1)
    expect(stdout).toContain(
      'BROKEN: config/env-2026-11-24.tar.gz on SFS cache has 10 bytes, its record says',
    )
    expect(stdout).not.toContain('holiday')
  })
})

describe('of a workshop in which little or nothing was', () => {
  beforeEach(async () => {
    workshop = await buildWorkshop()
  })
  afterEach(() => workshop.dispose())

  test('what was found unchanged an hour ago is fresh, though its archive is weeks old', async () => {
    const args = ['--only', 'tailscale,ufw', '--to', 'r2']
    await workshop.backupVerda(args)
    await workshop.backupVerda(args, { BACKUP_NOW: '2026-12-20T09:00:00Z' })
    const { cells } = await assessment([], { BACKUP_NOW: '2026-12-20T10:00:00Z' })
    const tailscale = cells.find(({ item, store }) => item === 'tailscale' && store === 'r2')
    expect(tailscale).toMatchObject({
      state: 'fresh',
      freshAt: '2026-12-20T09:00:00.000Z',
      newest: { key: 'config/tailscale-2026-11-24.tar.gz', time: '2026-11-24T10:00:00.000Z' },
    })
  })

  test('before anything was backed up, everything is missing, and it is said how it is made', async () => {
    const run = await status()
    expect(run.code).toBe(1)
    expect(run.stdout).toContain('MISSING: Cloudflare R2 has no good backup of tailscale')
    expect(run.stdout).toContain('On Mello run: comfyume-backup backup-mello --only user-data --to r2')
    expect(run.stdout).toContain('nothing was ever backed up there')
  })

  test('a last run that failed is named with its reason', async () => {
    await workshop.verda.cron(['--only', 'ufw'])
    workshop.verda.remove('etc/ufw')
    const later = { BACKUP_NOW: '2026-11-24T11:00:00Z' }
    expect((await workshop.verda.cron(['--only', 'ufw'], { env: later })).code).toBe(1)
    const found = await assessment(['--stores', 'sfs'], later)
    expect(troubles(found)).toContain('failed run sfs: ufw')
    expect(found.findings.find(({ trouble }) => trouble === 'failed run')?.what).toMatch(
      /^backup-cron of 2026-11-24 11:00 failed for ufw .*\/etc\/ufw/,
    )
  })

  test('a store that cannot be reached is named, the rest is shown', async () => {
    await workshop.verda.cron(['--only', 'tailscale'])
    await workshop.r2.close()
    const run = await status([], { CREDENTIALS_REPO: '' })
    expect(run.code).toBe(1)
    expect(run.stdout).toContain('UNREACHABLE: Cloudflare R2 is unreachable')
    expect(run.stdout).toMatch(/ {2}tailscale +ok, 0 min +not seen +not seen/)
  })

  test('without a key for R2 it says so', async () => {
    const { findings } = await assessment(['--stores', 'mello'], {
      R2_ACCESS_KEY_ID: '',
      R2_SECRET_ACCESS_KEY: '',
    })
    expect(findings.map(({ store }) => store)).not.toContain('r2')
    const run = await status([], { R2_ACCESS_KEY_ID: '', R2_SECRET_ACCESS_KEY: '' })
    expect(run.stdout).toContain('R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY are not set on this machine')
    expect(run.code).toBe(1)
  })

  test('Verda itself cannot be marked as off', async () => {
    const run = await status(['--verda-off'])
    expect(run.code).toBe(2)
    expect(run.stderr).toContain('this is Verda itself')
  })

  test('a name that would steer the terminal is shown as what it is', async () => {
    mkdirSync(workshop.backups, { recursive: true })
    writeFileSync(path.join(workshop.backups, '\u001b[2J\nALL GOOD'), '')
    for (const args of [
      ['--stores', 'mello'],
      ['--list', 'mello'],
    ]) {
      const { stdout } = await status(args)
      expect(stdout).toContain('\\u001b[2J\\u000aALL GOOD')
      expect(stdout).not.toContain('\u001b')
    }
  })

  test.each([
    [['--list', 'attic'], '--list takes sfs, mello, r2 or hetzner; it was given "attic"'],
    [['--stores', 'r2,attic'], '--stores: attic: not known here; there are sfs, mello, r2, git'],
    [['--list', 'hetzner'], 'HETZNER_ENDPOINT is missing'],
    [['--list', 'sfs', '--only', 'everything'], '--only: everything: not known here'],
    [['--only', 'env'], '--only goes with --list'],
    [['--list', 'sfs', '--verda-off'], 'do not go together'],
    [['--everything'], '--everything is not known'],
  ])('%j is a mistake that is explained', async (args, words) => {
    const run = await status(args)
    expect(run.code).toBe(2)
    expect(run.stderr).toContain(words)
    expect(run.stdout).toBe('')
  })

  test('--dry-run says what would be looked at, and looks at nothing', async () => {
    const before = workshop.r2.log.length
    const run = await status(['--dry-run'], away())
    expect(run.code).toBe(0)
    expect(run.stdout).toContain('verda, by ssh nobody@127.0.0.1')
    expect(run.stdout).toContain(`four buckets at ${workshop.r2.endpoint}`)
    expect(workshop.r2.log.length).toBe(before)
    expect(readdirSync(workshop.verda.folder)).not.toContain('.local')
  })
})
