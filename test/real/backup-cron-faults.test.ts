import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { processesOf } from '../hosts/processes.ts'
import { buildVerda, itemOf, type Run, reportOf, settle, type Verda } from '../scripts/verda.ts'

/** Faults that need root and mounts: a bad share, another full disk, another user, an engine. */

let verda: Verda
const mounts: string[] = []
beforeEach(() => {
  verda = buildVerda()
})
afterEach(() => {
  for (const mount of mounts.splice(0).reverse()) spawnSync('umount', ['-l', mount])
  verda.dispose()
})

const sh = (command: string, ...args: string[]) =>
  execFileSync(command, args, { stdio: 'pipe' }).toString().trim()
const env = 'home/dev/comfyume-v1/.env'
const last = (run: Run) => run.stdout.trimEnd().split('\n').at(-1)

function mountTmpfs(folder: string, size: string) {
  mkdirSync(folder, { recursive: true })
  sh('mount', '-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder)
  mounts.push(folder)
}
function mountExt4(folder: string, megabytes: number) {
  const image = path.join(verda.folder, `disk-${mounts.length}`)
  sh('truncate', '-s', `${megabytes}M`, image)
  sh('mkfs.ext4', '-q', '-m', '0', image)
  mkdirSync(folder, { recursive: true })
  sh('mount', '-o', 'loop', image, folder)
  mounts.push(folder)
}
const fill = (folder: string) => spawnSync('sh', ['-c', `head -c 1G /dev/zero >"$1/filler"`, 'fill', folder])

const kinds = {
  tmpfs: (mb: number) => mountTmpfs(verda.sfs, `${mb}M`),
  ext4: (mb: number) => mountExt4(verda.sfs, mb),
}
const mounted = { SFS_REQUIRE_MOUNT: '1' }

describe.each(['tmpfs', 'ext4'] as const)('a share on %s', (kind) => {
  test('that is mounted is used', async () => {
    kinds[kind](32)
    const run = await verda.cron(['--quiet'], { env: mounted })
    expect(run).toMatchObject({ code: 0, stdout: '' })
    expect(verda.checkByHand()).toEqual([])
  })

  test('law 5: that fills up while a backup is written fails the item; the good copy stays, and with room the next run succeeds', async () => {
    kinds[kind](kind === 'ext4' ? 24 : 8)
    verda.write('etc/ufw/large', randomBytes(kind === 'ext4' ? 9_000_000 : 3_000_000))
    expect((await verda.cron(['--quiet'], { env: mounted })).code).toBe(0)
    const before = verda.read('config/ufw-2026-11-24.tar.gz')
    verda.write('etc/ufw/large', randomBytes(kind === 'ext4' ? 16_000_000 : 6_000_000))
    verda.write(env, 'PASSWORD=a new one, no shorter than before\n')
    const run = await verda.cron(['--json'], { env: mounted })
    expect(run.code).toBe(1)
    const report = reportOf(run)
    expect(itemOf(report, 'ufw').reason).toMatch(
      /^sfs: config\/ufw-2026-11-24.tar.gz: no space left: free some, or enlarge the store \(ENOSPC\)$/,
    )
    expect(itemOf(report, 'env').status, 'law 7').toBe('stored')
    expect(verda.read('config/ufw-2026-11-24.tar.gz').equals(before)).toBe(true)
    expect(verda.names().filter((name) => name.startsWith('.'))).toEqual([])
    expect(verda.checkByHand()).toEqual([])
    verda.write('etc/ufw/large', randomBytes(2_000_000))
    expect((await verda.cron(['--quiet', '--accept-shrink'], { env: mounted })).code).toBe(0)
  })

  test('that is full from the start fails every item in words, and harms nothing', async () => {
    kinds[kind](kind === 'ext4' ? 24 : 4)
    expect((await verda.cron(['--quiet'], { env: mounted })).code).toBe(0)
    const before = verda.names()
    fill(verda.sfs)
    for (const file of [env, 'etc/ufw/user.rules']) verda.write(file, randomBytes(30_000))
    const run = await verda.cron(['--only', 'env,ufw'], { env: mounted })
    expect(run.code).toBe(1)
    expect(run.stdout).toMatch(/FAILED ufw -> sfs: .*(not enough space|[Nn]o space left)/)
    expect(last(run)).toMatch(/FAILED backup-cron: .*2 failed \(ufw, env\)/)
    expect(verda.names()).toEqual(before)
    rmSync(path.join(verda.sfs, 'filler'))
    expect(verda.checkByHand()).toEqual([])
    expect((await verda.cron(['--quiet'], { env: mounted })).code).toBe(0)
  })

  test('that a killed run left full of a half archive has room again for the next', async () => {
    kinds[kind](kind === 'ext4' ? 24 : 8)
    verda.write('etc/ufw/large', randomBytes(3_000_000))
    expect((await verda.cron(['--quiet'], { env: mounted })).code).toBe(0)
    verda.write('etc/ufw/large', randomBytes(3_000_000))
    const host = sh('hostname').replace(/[^A-Za-z0-9-]/g, '-')
    spawnSync('sh', [
      '-c',
      'head -c 1G /dev/zero >"$1"',
      'fill',
      path.join(verda.cache, `config/.ufw-2026-11-24.tar.gz.${host}@4194303@1@1.partial`),
    ])
    const run = await verda.cron(['--json'], { env: mounted })
    expect(run.code, run.stderr).toBe(0)
    expect(itemOf(reportOf(run), 'ufw').status).toBe('stored')
  })

  test('that is mounted read-only fails every item in words', async () => {
    kinds[kind](32)
    expect((await verda.cron(['--quiet'], { env: mounted })).code).toBe(0)
    sh('mount', '-o', 'remount,ro', verda.sfs)
    const run = await verda.cron(['--only', 'env,ufw'], { env: mounted })
    expect(run.code).toBe(1)
    expect(run.stdout).toMatch(/FAILED ufw -> sfs: sfs: .*cannot be written to: .*Read-only file system/)
    expect(last(run)).toMatch(/2 failed/)
  })
})

test('law 5: a share that is not mounted fails every item, and this machine’s own disk stays empty', async () => {
  const run = await verda.cron([], { env: mounted })
  expect(run.code).toBe(1)
  expect(run.stdout).toMatch(/FAILED tailscale -> sfs: sfs: .* is not a mount point/)
  expect(run.stdout.trimEnd().split('\n').at(-1)).toMatch(/5 failed/)
  expect(existsSync(verda.cache)).toBe(false)
})

test.runIf(spawnSync('sh', ['-c', 'command -v bindfs']).status === 0)(
  'a share that hangs fails every item within a bounded time, and works again when it answers',
  async () => {
    const behind = path.join(verda.folder, 'behind')
    mkdirSync(behind)
    sh('bindfs', behind, verda.sfs)
    mounts.push(verda.sfs)
    const daemon = Number(processesOf(`bindfs ${behind}`)[0]?.trim().split(' ')[0])
    expect(daemon).toBeGreaterThan(1)
    process.kill(daemon, 'SIGSTOP')
    try {
      const began = Date.now()
      const run = await verda.cron(['--only', 'env,ufw'], { env: mounted })
      expect(run.code).toBe(1)
      expect(run.stdout).toMatch(/FAILED ufw -> sfs: .*did not answer for 20 s: the share hangs/)
      expect(last(run)).toMatch(/2 failed/)
      expect(Date.now() - began).toBeLessThan(90_000)
    } finally {
      process.kill(daemon, 'SIGCONT')
    }
    const again = await verda.cron(['--quiet'], { env: mounted })
    expect(again, again.stdout).toMatchObject({ code: 0 })
    expect(verda.checkByHand()).toEqual([])
  },
)

describe('another disk that is full stops nothing:', () => {
  test.each(['tmpfs', 'ext4'])('TMPDIR on %s', async (kind) => {
    const full = path.join(verda.folder, 'full')
    if (kind === 'tmpfs') mountTmpfs(full, '64k')
    else mountExt4(full, 4)
    fill(full)
    spawnSync('sqlite3', [
      path.join(verda.root, 'home/dev/users.db'),
      'CREATE TABLE a(n); INSERT INTO a VALUES (1)',
    ])
    const run = await verda.cron(['--json', '--only', 'env,home-dev'], { env: { TMPDIR: full } })
    expect(run.code, run.stderr).toBe(0)
    const back = path.join(verda.folder, 'back')
    mkdirSync(back)
    sh('tar', '-xzf', path.join(verda.cache, 'config/home-dev-2026-11-24.tar.gz'), '-C', back)
    expect(sh('sqlite3', path.join(back, 'home/dev/users.db'), 'SELECT n FROM a')).toBe('1')
  })
})

test('law 5: as another user than root, a source that may not be read fails its item and no other', async () => {
  chmodSync(verda.folder, 0o755)
  for (const folder of [verda.sfs, verda.tmp]) sh('chown', '-R', '65534:65534', folder)
  const file = path.join(verda.root, 'var/lib/tailscale/tailscaled.state')
  chmodSync(file, 0o600)
  chmodSync(path.join(verda.root, env), 0o644)
  const project = path.resolve(import.meta.dirname, '../..')
  const run = spawnSync(
    'setpriv',
    [
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      process.execPath,
      '--import',
      'tsx',
      path.join(project, 'scripts/backup-cron.ts'),
      '--only',
      'tailscale,ufw,env',
    ],
    {
      cwd: project,
      encoding: 'utf8',
      env: { ...verda.settings, PATH: process.env.PATH, HOME: verda.tmp, TMPDIR: verda.tmp },
    },
  )
  expect(run.status, run.stderr).toBe(1)
  expect(run.stdout).toMatch(
    /FAILED tailscale -> sfs: .*; \/var\/lib\/tailscale\/tailscaled.state cannot be read and is in no backup/,
  )
  expect(run.stdout).toMatch(/stored env -> sfs/)
  expect(run.stdout).toMatch(/stored ufw -> sfs/)
})

describe.runIf(spawnSync('sh', ['-c', 'command -v podman']).status === 0)('images of a real engine', () => {
  const storage = mkdtempSync(path.join(tmpdir(), 'podman-'))
  const engine = path.join(storage, 'engine')
  writeFileSync(
    engine,
    `#!/bin/sh\nexec podman --root ${storage}/root --runroot ${storage}/run --tmpdir ${storage}/tmp --storage-driver vfs "$@"\n`,
    { mode: 0o755 },
  )
  afterAll(() => {
    spawnSync(engine, ['system', 'reset', '--force'])
    rmSync(storage, { recursive: true, force: true })
  })
  const importImage = (reference: string, content: string) => {
    const folder = mkdtempSync(path.join(storage, 'image-'))
    writeFileSync(path.join(folder, 'app'), content)
    execFileSync(
      'sh',
      ['-c', `tar -c -C "$1" app | "$2" import - "$3"`, 'import', folder, engine, reference],
      { stdio: 'pipe' },
    )
  }

  test('are stored whole, once until they change; one that is missing fails itself alone', async () => {
    importImage('localhost/comfyume-worker:v1', 'the worker')
    importImage('localhost/comfyume-nginx:latest', 'nginx')
    const settings = {
      CONTAINER_ENGINE: engine,
      CONTAINER_IMAGES:
        'comfyume-worker=localhost/comfyume-worker:v1,comfyume-nginx=localhost/comfyume-nginx:latest',
    }
    const run = await verda.cron(['--json', '--only', 'comfyume-worker,comfyume-nginx,comfyume-admin'], {
      env: settings,
    })
    expect(run.code).toBe(1)
    const report = reportOf(run)
    expect(itemOf(report, 'comfyume-admin').reason).toMatch(
      /there is no image comfyume-admin:latest on verda/,
    )
    for (const item of ['comfyume-worker', 'comfyume-nginx'])
      expect(itemOf(report, item).status, run.stderr).toBe('stored')
    expect(verda.checkByHand('')).toEqual([])

    const archive = path.join(verda.cache, 'comfyume-worker-2026-11-24.tar.gz')
    sh(engine, 'rmi', '--force', 'localhost/comfyume-worker:v1')
    // Not `load -i`: podman refuses some compressed archives that it accepts uncompressed.
    execFileSync('sh', ['-c', 'gunzip -c "$1" | "$2" load', 'load', archive, engine], { stdio: 'pipe' })
    const again = reportOf(await verda.cron(['--json', '--only', 'comfyume-worker'], { env: settings }))
    expect(
      itemOf(again, 'comfyume-worker').status,
      'the image that was loaded is the image that was saved',
    ).toBe('unchanged')

    settle()
    importImage('localhost/comfyume-worker:v1', 'a newer worker')
    const changed = reportOf(await verda.cron(['--json', '--only', 'comfyume-worker'], { env: settings }))
    expect(itemOf(changed, 'comfyume-worker').status).toBe('stored')
    expect(readFileSync(`${archive}.sha256`, 'utf8')).toContain(
      itemOf(changed, 'comfyume-worker').stores.sfs?.sha256,
    )
  })
})
