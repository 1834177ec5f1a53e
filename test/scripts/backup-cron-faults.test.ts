import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { restoringMarker } from '../../lib/inventory.ts'
import { type AppendOnlyStore, type RotatingStore, StoreError } from '../../lib/stores/store.ts'
import { buildVerda, itemOf, reportOf, settle, type Verda } from './verda.ts'

let verda: Verda
beforeEach(() => {
  verda = buildVerda()
})
afterEach(() => verda.dispose())

const env = 'home/dev/comfyume-v1/.env'
const at = (file: string) => path.join(verda.root, file)
const random = (bytes: number) =>
  execFileSync('head', ['-c', String(bytes), '/dev/urandom'], { maxBuffer: bytes + 1 })
const archives = () => verda.names().filter((name) => name.endsWith('.tar.gz'))
/** Changes the item env, so that no run finds it unchanged. */
const change = (text = String(Math.random())) => verda.write(env, `PASSWORD=${text}\n`)

describe('law 5: sources', () => {
  test('one that is missing fails its item, and what was stored before stays', async () => {
    await verda.run()
    verda.remove(env)
    const { code, item } = await verda.run()
    expect(code).toBe(1)
    expect(item).toMatchObject({ status: 'failed', stores: { sfs: { status: 'failed' } } })
    expect(item.reason).toBe('/home/dev/comfyume-v1/.env missing on verda: nothing there to back up')
    expect(verda.contentOf('config/env-2026-11-24.tar.gz', env)).toContain('pa$$word')
  })

  test('an optional one that is missing is no failure', async () => {
    const { code, item } = await verda.run({ only: ['nginx'] })
    expect(code).toBe(0)
    expect(item).toMatchObject({ status: 'skipped', absent: true })
  })

  test('one that is empty fails its item', async () => {
    verda.write(env, '')
    const { code, item } = await verda.run()
    expect(code).toBe(1)
    expect(item.reason).toMatch(/no file has content; an empty archive is not a backup/)
    expect(archives()).toEqual([])
  })

  test('one without what it must have fails its item: no 45-byte tarball', async () => {
    renameSync(at('var/lib/tailscale/tailscaled.state'), at('var/lib/tailscale/other'))
    const { code, item } = await verda.run({ only: ['tailscale'] })
    expect(code).toBe(1)
    expect(item.reason).toContain('the archive has no */tailscaled.state')
    expect(verda.names()).toEqual([])
  })

  test('one shrunk to a tenth fails its item; --accept-shrink takes it', async () => {
    verda.write(env, random(10_000))
    await verda.run()
    const before = readFileSync(path.join(verda.cache, 'config/env-2026-11-24.tar.gz'))
    verda.write(env, random(1000))
    for (const now of ['2026-11-24T11:00:00Z', '2026-11-25T11:00:00Z']) {
      const { code, item } = await verda.run({ now })
      expect(code).toBe(1)
      expect(item.reason).toMatch(
        /^sfs: env: \S+ shrank from 9.8 KB to 1000 bytes, to 10 % \(limit 50 %\); config\/env-2026-11-24.tar.gz stays the newest.*--accept-shrink$/,
      )
      expect(archives()).toEqual(['env-2026-11-24.tar.gz'])
      expect(verda.read('config/env-2026-11-24.tar.gz').equals(before)).toBe(true)
      expect(verda.names()).toHaveLength(2)
    }
    const accepted = await verda.cron(['--only', 'env', '--accept-shrink', '--json'], {
      env: { BACKUP_NOW: '2026-11-25T12:00:00Z' },
    })
    expect(accepted.code).toBe(0)
    expect(itemOf(reportOf(accepted), 'env').stores.sfs).toMatchObject({
      status: 'stored',
      key: 'config/env-2026-11-25.tar.gz',
    })
  })

  test('half of the predecessor is taken, less is not', async () => {
    verda.write('etc/ufw/user.rules', random(100_000))
    await verda.run({ only: ['ufw'] })
    verda.write('etc/ufw/user.rules', random(51_000))
    expect((await verda.run({ only: ['ufw'] })).item.status).toBe('stored')
    verda.write('etc/ufw/user.rules', random(25_000))
    expect((await verda.run({ only: ['ufw'] })).item.status).toBe('failed')
  })

  test('a host that is half restored gives no backup at all', async () => {
    verda.write(restoringMarker, '')
    const run = await verda.cron(['--json'])
    expect(run.code).toBe(1)
    for (const { status, reason } of reportOf(run).items) {
      expect(status).toBe('failed')
      expect(reason).toContain(`verda is half restored (${restoringMarker} is there)`)
    }
    expect(verda.names()).toEqual([])
  })
})

describe('files that do not hold still', () => {
  test('one that changes the whole time is stored at the second try, and the record says so', async () => {
    verda.write('etc/fail2ban/large', random(12_000_000))
    const changeEachTime = (store: AppendOnlyStore) => ({
      ...store,
      async createPair(...[key, body, record]: Parameters<RotatingStore['createPair']>) {
        // The first bytes show that tar has started; it cannot be done, because most is still unread.
        await once(body, 'readable')
        appendFileSync(at('etc/fail2ban/large'), 'line\n')
        return (store as RotatingStore).createPair(key, body, record)
      },
    })
    const { code, item } = await verda.run({ only: ['fail2ban'], store: changeEachTime })
    expect(code).toBe(0)
    expect(item.status).toBe('stored')
    expect(item.warnings).toEqual(['etc/fail2ban/large changed while it was read, twice'])
    expect(verda.read('config/fail2ban-2026-11-24.tar.gz.sha256').toString()).toContain(
      '# changed: etc/fail2ban/large\n',
    )
    expect(verda.checkByHand()).toEqual([])
  })

  test('files that come and go under the reader are no failure', async () => {
    verda.write('etc/fail2ban/a-large', random(4_000_000))
    // Enough files that the changing ones do not count as a shrunken item.
    for (let n = 0; n < 10; n++) verda.write(`etc/fail2ban/kept-${n}`, 'kept')
    const busy =
      'while :; do for n in 1 2 3; do mkdir -p etc/fail2ban/t/$n; echo x >etc/fail2ban/t/$n/f; done; rm -rf etc/fail2ban/t; done'
    const writer = spawn('bash', ['-c', busy], { cwd: verda.root, stdio: 'ignore', detached: true })
    await once(writer, 'spawn')
    try {
      for (let n = 0; n < 5; n++)
        expect((await verda.run({ only: ['fail2ban'] })).item).not.toMatchObject({ status: 'failed' })
      expect(verda.checkByHand()).toEqual([])
    } finally {
      process.kill(-(writer.pid as number), 'SIGKILL')
      await once(writer, 'close')
    }
  })

  test('one that shrinks while it is read is stored once it holds still', async () => {
    verda.write('etc/fail2ban/large', random(8_000_000))
    let opened = 0
    const shrinkFirst = (store: AppendOnlyStore) => ({
      ...store,
      createPair(...[key, body, record]: Parameters<RotatingStore['createPair']>) {
        if (opened++ === 0) truncateSync(at('etc/fail2ban/large'), 5_000_000)
        return (store as RotatingStore).createPair(key, body, record)
      },
    })
    const { item } = await verda.run({ only: ['fail2ban'], store: shrinkFirst })
    expect(item).toMatchObject({ status: 'stored' })
    expect(verda.read('config/fail2ban-2026-11-24.tar.gz.sha256').toString()).not.toContain('# changed')
    const member = execFileSync(
      'tar',
      ['-xzOf', path.join(verda.cache, 'config/fail2ban-2026-11-24.tar.gz'), 'etc/fail2ban/large'],
      { maxBuffer: 1 << 24 },
    )
    expect(member.length).toBe(5_000_000)
  })

  test('odd names come through: spaces, newlines, bytes that are not UTF-8', async () => {
    for (const name of ['with space', 'new\nline', '-rf']) verda.write(`etc/ufw/${name}`, name)
    writeFileSync(Buffer.concat([Buffer.from(`${at('etc/ufw')}/`), Buffer.from([0xff, 0x0a, 0xfe])]), 'bytes')
    settle()
    expect((await verda.run({ only: ['ufw'] })).item.status).toBe('stored')
    expect((await verda.run({ only: ['ufw'] })).item.status).toBe('unchanged')
    const back = path.join(verda.folder, 'back')
    mkdirSync(back)
    execFileSync('tar', ['-xzf', path.join(verda.cache, 'config/ufw-2026-11-24.tar.gz'), '-C', back])
    execFileSync('diff', ['-r', '--no-dereference', at('etc/ufw'), path.join(back, 'etc/ufw')])
  })
})

describe('the share', () => {
  test('that is not mounted fails every item, and nothing is written below it', async () => {
    const run = await verda.cron(['--json'], { env: { SFS_REQUIRE_MOUNT: '1' } })
    expect(run.code).toBe(1)
    const { items } = reportOf(run)
    for (const { status, reason } of items.filter(({ absent }) => !absent)) {
      expect(status).toBe('failed')
      expect(reason).toMatch(/^sfs: .* is not a mount point, so .* Mount the share; if that fails, grant it/)
    }
    expect(existsSync(verda.cache)).toBe(false)
  })

  test('whose room is less than the last archive fails before anything is read', async () => {
    await verda.run()
    change()
    const full = (store: AppendOnlyStore) => ({ ...store, probe: async () => ({ freeBytes: 10 }) })
    const { code, item } = await verda.run({ store: full })
    expect(code).toBe(1)
    expect(item.reason).toMatch(/^sfs: not enough space: 10 bytes free, about \d+ bytes needed/)
    expect(verda.checkByHand()).toEqual([])
  })

  test.each(['createPair', 'list', 'probe'] as const)(
    'law 7: that fails in %s of one item fails that item alone',
    async (method) => {
      const fail = (): never => {
        throw new StoreError('sfs: input/output error')
      }
      let stores = 0
      const { report } = await verda.run({
        only: ['env', 'ufw'],
        store: (store) => (stores++ === 0 ? { ...store, [method]: fail } : store),
      })
      expect(report.items.map(({ status }) => status)).toEqual(['failed', 'stored'])
      expect(report.items[0]?.reason).toBe('sfs: input/output error')
    },
  )

  test('no room for temporary files, on another disk, stops nothing', async () => {
    spawnSync('sqlite3', [at('home/dev/users.db'), 'CREATE TABLE a(n)'])
    const before = process.env.TMPDIR
    process.env.TMPDIR = '/dev/full/none'
    try {
      const { code, report } = await verda.run({ only: ['env', 'home-dev'] })
      expect(code, JSON.stringify(report)).toBe(0)
    } finally {
      if (before === undefined) delete process.env.TMPDIR
      else process.env.TMPDIR = before
    }
  })
})

describe('a clock', () => {
  test('that jumps back: a full backup under the old date, nothing newer removed or replaced', async () => {
    for (const day of [20, 21, 22, 23, 24]) {
      change()
      await verda.run({ now: `2026-11-${day}T10:00:00Z` })
    }
    const before = verda.names().map((name) => [name, statSync(path.join(verda.cache, 'config', name)).ino])
    change()
    const { code, item, report } = await verda.run({ now: '2025-01-01T00:00:00Z' })
    expect(code).toBe(0)
    expect(item.stores.sfs?.key).toBe('config/env-2025-01-01.tar.gz')
    expect(item.warnings).toHaveLength(5)
    expect(report.rotated).toEqual([])
    for (const [name, inode] of before)
      expect(statSync(path.join(verda.cache, 'config', String(name))).ino).toBe(inode)
  })

  test('that jumps back by some hours: the day’s file of later stays, and the hour takes a name of its own', async () => {
    await verda.run({ now: '2026-11-24T10:00:00Z' })
    change('earlier')
    const { item } = await verda.run({ now: '2026-11-24T07:00:00Z' })
    expect(item.stores.sfs).toMatchObject({ status: 'stored', key: 'config/env-2026-11-24-07.tar.gz' })
    expect(verda.contentOf('config/env-2026-11-24.tar.gz', env)).toContain('pa$$word')
    change('later')
    settle()
    expect((await verda.run({ now: '2026-11-24T11:00:00Z' })).item.stores.sfs).toMatchObject({
      status: 'stored',
      key: 'config/env-2026-11-24.tar.gz',
    })
    expect((await verda.run({ now: '2026-11-24T13:00:00Z' })).item.stores.sfs).toMatchObject({
      status: 'unchanged',
      key: 'config/env-2026-11-24.tar.gz',
    })
    expect(verda.checkByHand()).toEqual([])
  })

  test('that jumps forward and comes back: its copies are neither newest nor removed, and push nothing out', async () => {
    for (const day of [20, 21, 22, 23, 24]) {
      change()
      await verda.run({ now: `2026-11-${day}T10:00:00Z` })
    }
    for (const year of [2027, 2028, 2029]) {
      change()
      await verda.run({ now: `${year}-03-01T10:00:00Z` })
    }
    const future = archives().filter((name) => !name.includes('2026'))
    expect(future).toHaveLength(3)
    change('real, and no shorter than before')
    settle()
    const { item } = await verda.run({ now: '2026-11-25T10:00:00Z' })
    expect(item.stores.sfs).toMatchObject({ status: 'stored', key: 'config/env-2026-11-25.tar.gz' })
    expect(archives()).toEqual(expect.arrayContaining(future))
    expect(archives()).toContain('env-2026-11-24.tar.gz')
    expect((await verda.run({ now: '2026-11-25T11:00:00Z' })).item.stores.sfs).toMatchObject({
      status: 'unchanged',
    })
  })
})

describe('law 2: what is not ours', () => {
  test('archives without records and foreign files are not touched; the backup takes another name', async () => {
    const foreign = {
      'env-2026-11-24.tar.gz': 'an archive without a record, perhaps still being written',
      'env-2020-01-01.tar.gz': 'old, without a record',
      'env-latest.tar.gz': 'from the older script',
      'env-2026-11-23.tar.gz.sha256': 'torn',
      'env-2026-11-22.tar.gz.sha256.next': 'torn',
      'environment-2026-11-24.tar.gz': 'foreign',
      'env-2026-11-24.tar.gz.bak': 'foreign',
      'notes.txt': 'foreign',
    }
    for (const [name, content] of Object.entries(foreign)) verda.put(`config/${name}`, content)
    verda.put('env-2020-01-01.tar.gz', 'beside, not in, the folder')
    for (let day = 1; day <= 24; day++) {
      change()
      const { code } = await verda.run({ now: `2026-11-${String(day).padStart(2, '0')}T10:00:00Z` })
      expect(code).toBe(0)
    }
    expect(verda.names()).toContain('env-2026-11-24-10.tar.gz.sha256')
    for (const [name, content] of Object.entries(foreign))
      if (!name.endsWith('.next') && !name.includes('11-23'))
        expect(verda.read(`config/${name}`).toString(), name).toBe(content)
    expect(verda.read('env-2020-01-01.tar.gz').toString()).toContain('beside')
  })

  test('an archive that another process still writes is left alone, and so is its partial', async () => {
    verda.put('config/.env-2026-11-24.tar.gz.mello@12@34@1.partial', 'half')
    const target = path.join(verda.cache, 'config/env-2026-11-24.tar.gz')
    const script = 'exec 3>"$1"; while :; do echo more >&3; sleep 0.01; done'
    const writer = spawn('bash', ['-c', script, 'writer', target], { stdio: 'ignore' })
    while (!existsSync(target) || statSync(target).size === 0) settle()
    try {
      const inode = statSync(target).ino
      const { code, item } = await verda.run()
      expect(code).toBe(0)
      expect(item.stores.sfs?.key).toBe('config/env-2026-11-24-10.tar.gz')
      expect(statSync(target).ino).toBe(inode)
      expect(verda.names()).toContain('.env-2026-11-24.tar.gz.mello@12@34@1.partial')
      expect((await verda.run({ now: '2026-11-24T11:00:00Z' })).item.stores.sfs).toMatchObject({
        status: 'unchanged',
        key: 'config/env-2026-11-24-10.tar.gz',
      })
    } finally {
      writer.kill('SIGKILL')
    }
  })
})

describe('law 4: damaged copies', () => {
  const history = async () => {
    for (let day = 10; day <= 23; day++) verda.putBackup('env', `2026-11-${day}`, `2026-11-${day}T10:00:00Z`)
  }

  test('one that must stay stops the rotation, loudly, and not the backup', async () => {
    await history()
    truncateSync(path.join(verda.cache, 'config/env-2026-11-22.tar.gz'), 3)
    const run = await verda.cron(['--json', '--only', 'env'])
    expect(run.code).toBe(1)
    const report = reportOf(run)
    expect(itemOf(report, 'env').status).toBe('stored')
    expect(report).toMatchObject({ ok: false, rotated: [] })
    expect(report.problems[0]).toMatch(
      /^env: sfs: rotation waits, because a copy that must stay is damaged: config\/env-2026-11-22/,
    )
    expect(run.stderr).toMatch(/PROBLEM env: /)
    expect(archives()).toHaveLength(15)
    rmSync(path.join(verda.cache, 'config/env-2026-11-22.tar.gz'))
    rmSync(path.join(verda.cache, 'config/env-2026-11-22.tar.gz.sha256'))
    const next = await verda.run()
    expect(next.code).toBe(0)
    expect(next.report.rotated.length).toBeGreaterThan(3)
  })

  test.each<[string, () => void]>([
    ['its source is gone', () => verda.remove(env)],
    ['it shrank', () => verda.putBackup('env', '2026-11-23', '2026-11-23T10:00:00Z', 'large'.repeat(1000))],
  ])('nothing is rotated when this item’s new backup failed: %s', async (_, fail) => {
    await history()
    fail()
    const { code, report } = await verda.run()
    expect(code).toBe(1)
    expect(report.rotated).toEqual([])
    expect(archives()).toHaveLength(14)
  })

  test('the newest being damaged, the item is stored anew and the damaged one replaced', async () => {
    settle()
    await verda.run()
    appendFileSync(path.join(verda.cache, 'config/env-2026-11-24.tar.gz'), 'damage')
    const { code, item } = await verda.run({ now: '2026-11-24T11:00:00Z' })
    expect(code).toBe(0)
    expect(item.stores.sfs).toMatchObject({ status: 'stored', key: 'config/env-2026-11-24.tar.gz' })
    expect(verda.checkByHand()).toEqual([])
  })

  test('what is rotated away is reported with its reasons, and is gone with its record', async () => {
    await history()
    const { report } = await verda.run()
    expect(report.rotated.map(({ key }) => key)).toContain('config/env-2026-11-12.tar.gz')
    for (const { key, reasons, store } of report.rotated) {
      expect(store).toBe('sfs')
      expect(reasons.join()).toContain('not among 5 daily, 3 weekly, 3 monthly')
      expect(existsSync(path.join(verda.cache, key))).toBe(false)
      expect(existsSync(path.join(verda.cache, `${key}.sha256`))).toBe(false)
    }
  })
})

describe('a home', () => {
  test('is stored without caches, without other items’ data and without staged archives', async () => {
    for (const file of [
      'home/dev/.cache/pip/x',
      'home/dev/app/node_modules/x/index.js',
      'home/dev/tailscale-2026-11-01.tar.gz',
      'home/dev/env-latest.tar.gz',
      'home/dev/my-env-2026.tar.gz',
    ])
      verda.write(file, 'x')
    await verda.run({ only: ['home-dev'] })
    expect(verda.members('config/home-dev-2026-11-24.tar.gz')).toEqual([
      'home/dev/',
      'home/dev/app/',
      'home/dev/comfyume-v1/',
      'home/dev/my-env-2026.tar.gz',
      'home/dev/notes.txt',
    ])
  })
})

test.skipIf(process.getuid?.() === 0)(
  'a share whose folder the user may not write to fails in words',
  async () => {
    await verda.run()
    chmodSync(path.join(verda.cache, 'config'), 0o500)
    change()
    expect((await verda.run()).item.reason).toMatch(/no permission to write there/)
    chmodSync(path.join(verda.cache, 'config'), 0o700)
  },
)
