import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { buildRestorable, outcomeOf, planOf, type Restorable, reportOf } from './restorable.ts'
import { cacheBucket } from './workshop.ts'

let world: Restorable
let saved: string
beforeAll(async () => {
  world = await buildRestorable({ quick: true })
  saved = path.join(world.verda.folder, 'saved')
  cpSync(world.verda.cache, saved, { recursive: true, preserveTimestamps: true })
})
afterAll(() => world.dispose())
/** Each test damages the share in its own way. */
beforeEach(() => {
  rmSync(world.verda.cache, { recursive: true, force: true })
  cpSync(saved, world.verda.cache, { recursive: true, preserveTimestamps: true })
})

const onShare = (name: string) => path.join(world.verda.cache, 'config', name)
const archive = () => onShare('env-2026-11-24.tar.gz')
const noMello = { MELLO_BACKUPS: '/nowhere' }
const envFile = 'home/dev/comfyume-v1/.env'

async function restoreEnv(env: Record<string, string> = {}, args: string[] = []) {
  const to = world.drill()
  const run = await world.restore(['--only', 'env', '--yes', '--json', ...args, '--root', to], {
    env: { ...noMello, ...env },
  })
  const file = path.join(to, envFile)
  return { run, to, content: existsSync(file) ? readFileSync(file, 'utf8') : undefined }
}

const password = "ADMIN_PASSWORD='pa$$word'\n"

const damage: [string, () => void, RegExp][] = [
  [
    'a flipped bit',
    () => {
      const content = readFileSync(archive())
      content[100] = (content[100] as number) ^ 1
      writeFileSync(archive(), content)
    },
    /sha256 .* for|cannot be unpacked/,
  ],
  [
    'cut short',
    () => writeFileSync(archive(), readFileSync(archive()).subarray(0, 150)),
    /has 150 bytes, and its record says/,
  ],
  [
    'cut short, and its record tells no size',
    () => {
      writeFileSync(archive(), readFileSync(archive()).subarray(0, 150))
      const record = readFileSync(`${archive()}.sha256`, 'utf8')
      writeFileSync(`${archive()}.sha256`, record.replace(/# bytes.*\n/, ''))
    },
    /sha256 .* for|cannot be unpacked/,
  ],
  [
    'whole but of other content than its record',
    () => {
      const other = path.join(world.verda.folder, 'other')
      mkdirSync(path.join(other, path.dirname(envFile)), { recursive: true })
      writeFileSync(path.join(other, envFile), 'EVIL=1\n')
      execFileSync('tar', ['-czf', archive(), '-C', other, envFile])
      const record = readFileSync(`${archive()}.sha256`, 'utf8')
      writeFileSync(`${archive()}.sha256`, record.replace(/# bytes.*\n/, ''))
    },
    /not what its record says: sha256/,
  ],
  [
    'the record of another file',
    () => cpSync(onShare('ufw-2026-11-24.tar.gz.sha256'), `${archive()}.sha256`),
    /record that cannot be read or names another file/,
  ],
  [
    'the archive of another item under its name',
    () => {
      cpSync(onShare('ufw-2026-11-24.tar.gz'), archive())
      const sha256 = createHash('sha256').update(readFileSync(archive())).digest('hex')
      writeFileSync(`${archive()}.sha256`, `${sha256}  env-2026-11-24.tar.gz\n`)
    },
    /it holds etc\/ufw\/?.*, which does not belong to env/,
  ],
  ['the archive gone', () => rmSync(archive()), /is gone: only its record is there/],
  [
    'a record of noise',
    () => writeFileSync(`${archive()}.sha256`, Buffer.from([0, 255, 10, 13, 7])),
    /record that cannot be read/,
  ],
]

it.each(damage)(
  'the newest on the share is %s: R2 serves, and the report says why',
  async (_name, spoil, reason) => {
    spoil()
    const { run, content } = await restoreEnv()
    expect(run.code, run.stderr).toBe(0)
    expect(content).toBe(password)
    const { source, passed } = outcomeOf(run, 'env')
    expect(source).toBe('r2')
    expect(passed).toEqual([
      { source: 'sfs', key: 'config/env-2026-11-24.tar.gz', reason: expect.stringMatching(reason) },
    ])
    expect(run.stderr).toMatch(/SKIPPED env|is skipped/)
  },
)

it('an archive on the share without its record is taken in its turn, and told as unverified beside the recorded one', async () => {
  rmSync(`${archive()}.sha256`)
  const { run, content } = await restoreEnv()
  expect(content).toBe(password)
  expect(outcomeOf(run, 'env')).toMatchObject({ source: 'sfs', verified: false })
  expect(run.stderr).toContain('UNVERIFIED env: the copy in sfs has no record')
  expect(run.stderr).toMatch(
    /NEWER env: r2 has a copy from 2026-11-24T10:00Z; one without a record in sfs is used/,
  )
  const newest = await restoreEnv({}, ['--prefer', 'newest'])
  expect(outcomeOf(newest.run, 'env')).toMatchObject({ source: 'r2', verified: true })
})

it('all copies bad: fails, names the last, and touches nothing', async () => {
  const older = onShare('env-2026-11-23.tar.gz')
  for (const file of [archive(), older]) {
    writeFileSync(file, randomText(300))
    const sha256 = createHash('sha256').update('something else').digest('hex')
    writeFileSync(`${file}.sha256`, `# time: 2026-11-23T10:00:00Z\n${sha256}  ${path.basename(file)}\n`)
  }
  const to = world.drill()
  mkdirSync(path.join(to, 'home/dev/comfyume-v1'), { recursive: true })
  writeFileSync(path.join(to, envFile), 'MINE=1\n')
  const run = await world.restore(['--only', 'env', '--from', 'sfs', '--yes', '--root', to])
  expect(run.code).toBe(1)
  expect(run.stdout).toMatch(
    /FAILED env: none of 2 copies is good; the last, config\/env-2026-11-23\.tar\.gz in sfs/,
  )
  expect(readFileSync(path.join(to, envFile), 'utf8')).toBe('MINE=1\n')
  expect(readdirSync(path.join(to, 'home/dev/comfyume-v1'))).toEqual(['.env'])
  expect(readdirSync(to)).toEqual(['home'])
})

it('archives of nothing, as the older scripts made them, are passed over at once', async () => {
  rmSync(path.join(world.verda.cache, 'config'), { recursive: true })
  const empty = execFileSync('tar', ['-czf', '-', '-T', '/dev/null'])
  expect(empty.length).toBe(45)
  for (const name of ['env-2026-11-24.tar.gz', 'env-latest.tar.gz']) world.verda.put(`config/${name}`, empty)
  const { run } = await restoreEnv()
  const reason = 'has 45 bytes: an empty archive'
  expect(outcomeOf(run, 'env')).toMatchObject({
    source: 'r2',
    passed: ['env-2026-11-24.tar.gz', 'env-latest.tar.gz'].map((name) => ({
      source: 'sfs',
      key: `config/${name}`,
      reason,
    })),
  })
  // Even a good -latest would rank below R2's copy.
  expect(run.stderr).toContain(`SKIPPED env: config/env-2026-11-24.tar.gz in sfs ${reason}\n`)
})

it('older archives serve where nothing else is: dated ones before -latest, each unpacked to where its members belong', async () => {
  rmSync(path.join(world.verda.cache, 'config'), { recursive: true })
  mkdirSync(path.join(world.verda.cache, 'config'))
  const pack = (name: string, folder: string, ...members: string[]) =>
    execFileSync('tar', ['-czf', onShare(name), '-C', path.join(world.verda.root, folder), ...members])
  pack('tailscale-latest.tar.gz', 'var/lib', 'tailscale')
  pack('ssh-host-keys-latest.tar.gz', 'etc/ssh', 'ssh_host_ed25519_key', 'ssh_host_ed25519_key.pub')
  pack('env-2026-11-01.tar.gz', '', envFile)
  world.verda.put('config/env-latest.tar.gz', readFileSync(onShare('env-2026-11-01.tar.gz')))
  const to = world.drill()
  const run = await world.restore(
    ['--only', 'tailscale,ssh-host-keys,env', '--from', 'sfs', '--yes', '--json', '--root', to],
    {},
  )
  expect(run.code, run.stderr).toBe(0)
  expect(outcomeOf(run, 'env').key).toBe('config/env-2026-11-01.tar.gz')
  for (const file of ['var/lib/tailscale/tailscaled.state', 'etc/ssh/ssh_host_ed25519_key', envFile])
    expect(readFileSync(path.join(to, file)), file).toEqual(readFileSync(path.join(world.verda.root, file)))
  expect(run.stderr).toContain('UNVERIFIED tailscale, ssh-host-keys, env: the copy in sfs has no record')
})

it('stamps and times in the future are passed over, and told once for all items', async () => {
  for (const item of ['env', 'ufw']) {
    world.verda.putBackup(item, '2027-01-01', '2027-01-01T00:00:00Z', randomText(200))
    world.verda.putBackup(item, '2026-11-24-11', '2027-01-01T00:00:00Z', randomText(200))
  }
  const run = await world.restore(['--only', 'env,ufw', '--dry-run', '--root', world.drill()])
  expect(run.stdout).toMatch(/ env +sfs +config\/env-2026-11-24\.tar\.gz/)
  expect(run.stdout).toMatch(/SKIPPED ufw, env: a copy in sfs is dated in the future: check the clock/)
})

it.each([
  ['not mounted', { SFS_REQUIRE_MOUNT: '1' }, /NOT LOOKED AT sfs: .* is not a mount point/],
  ['without a cache', { SFS_CACHE: '/nowhere' }, /NOT LOOKED AT sfs: there is no \/nowhere/],
] as const)('a share that is %s gives way to R2', async (_name, env, note) => {
  const { run, content } = await restoreEnv(env)
  expect([run.code, content]).toEqual([0, password])
  expect(outcomeOf(run, 'env').source).toBe('r2')
  expect(run.stderr).toMatch(note)
})

it('a share that is there and empty gives way to R2', async () => {
  rmSync(path.join(world.verda.cache, 'config'), { recursive: true })
  const { run } = await restoreEnv()
  expect([run.code, outcomeOf(run, 'env').source]).toEqual([0, 'r2'])
})

it.each([
  ['a wrong key', { R2_SECRET_ACCESS_KEY: 'wrong' }, 'check R2_SECRET_ACCESS_KEY'],
  [
    'nobody at its address',
    { R2_ENDPOINT: 'http://127.0.0.1:9' },
    'does not answer: check the network and R2_ENDPOINT',
  ],
  ['another bucket', { R2_CACHE_BUCKET: 'no-such-bucket' }, 'There is no bucket no-such-bucket'],
] as const)('R2 with %s is told and does not stop the share', async (_name, env, words) => {
  const { run, content } = await restoreEnv(env)
  expect([run.code, content]).toEqual([0, password])
  expect(run.stderr).toContain('NOT LOOKED AT r2: ')
  expect(run.stderr).toContain(words)
})

it('one bucket that cannot be reached does not take the others with it', async () => {
  const run = await world.restore(['--from', 'r2', '--json', '--dry-run', '--root', world.drill()], {
    env: { R2_CACHE_BUCKET: 'no-such-bucket' },
  })
  const { items, notes } = planOf(run)
  const of = (name: string) => items.find(({ item }) => item === name)
  expect(of('user-data')?.candidates[0]?.source).toBe('r2')
  expect(of('env')?.missing).toBe('r2 not looked at')
  expect(notes.filter((note) => note.startsWith('NOT LOOKED AT'))).toHaveLength(1)
})

it('a record that cannot be had on R2 is that copy’s trouble alone', async () => {
  world.r2.fail({ operation: 'GetObject', how: 403, code: 'AccessDenied', times: 1 })
  const run = await world.restore([
    '--only',
    'env,ufw',
    '--from',
    'r2',
    '--yes',
    '--json',
    '--root',
    world.drill(),
  ])
  const statuses = reportOf(run).items.map(({ status }) => status)
  expect(statuses.filter((status) => status === 'restored')).toHaveLength(1)
  expect(JSON.stringify(reportOf(run).items)).toContain('has a record that cannot be read: ')
})

it('takes what was asked for: a day, an hour, a source, the newest', async () => {
  const copy = (stamp: string, time: string, value: string) => {
    world.verda.write(envFile, `${value}\n`, 0o600)
    const name = `env-${stamp}.tar.gz`
    execFileSync('tar', ['-czf', onShare(name), '-C', world.verda.root, envFile])
    const sha256 = createHash('sha256')
      .update(readFileSync(onShare(name)))
      .digest('hex')
    writeFileSync(`${onShare(name)}.sha256`, `# item: env\n# time: ${time}\n${sha256}  ${name}\n`)
  }
  copy('2026-11-20', '2026-11-20T08:15:00Z', 'eight')
  copy('2026-11-20-17', '2026-11-20T17:20:00Z', 'seventeen')
  rmSync(archive())
  rmSync(`${archive()}.sha256`)
  const got = async (...args: string[]) => (await restoreEnv({}, args)).content?.trim()
  expect(await got('--at', '2026-11-20')).toBe('seventeen')
  expect(await got('--at', '2026-11-20-16')).toBe('eight')
  expect(await got()).toBe('seventeen')
  expect(await got('--prefer', 'newest')).toBe(password.trim())
  expect(await got('--skip-sfs')).toBe(password.trim())
  expect(await got('--from', 'sfs')).toBe('seventeen')
  const early = await restoreEnv({}, ['--at', '2026-11-19'])
  expect([early.run.code, early.content]).toEqual([1, undefined])
  expect(early.run.stderr).toContain('the oldest is from 2026-11-20T00:00Z, later than --at')
  expect(early.run.stderr).not.toContain('NO BACKUP')
  expect((await world.r2.content(cacheBucket, 'config/env-2026-11-24.tar.gz'))?.length).toBeGreaterThan(100)
})

function randomText(bytes: number): string {
  return createHash('sha512')
    .update('noise')
    .digest('hex')
    .repeat(Math.ceil(bytes / 128))
    .slice(0, bytes)
}
