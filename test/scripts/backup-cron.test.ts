import { existsSync, statSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Plan } from '../../lib/backup/plan.ts'
import { items } from '../../lib/inventory.ts'
import { buildVerda, holdItems, itemOf, reportOf, settle, type Verda } from './verda.ts'

let verda: Verda
beforeEach(() => {
  verda = buildVerda()
})
afterEach(() => verda.dispose())

const byDefault = ['tailscale', 'ssh-host-keys', 'fail2ban', 'ufw', 'nginx', 'ssl', 'env']

describe('a run', () => {
  test('stores the default items, then finds them unchanged, and reports both', async () => {
    const first = await verda.cron(['--json'])
    expect(first).toMatchObject({ code: 0, signal: null })
    const report = reportOf(first)
    expect(report).toMatchObject({
      command: 'backup-cron',
      environment: 'production',
      startedAt: '2026-11-24T10:00:00.000Z',
      ok: true,
      rotated: [],
      problems: [],
    })
    expect(report.items.map(({ item, status }) => `${item} ${status}`).sort()).toEqual(
      [
        'env stored',
        'fail2ban stored',
        'nginx skipped',
        'ssh-host-keys stored',
        'ssl skipped',
        'tailscale stored',
        'ufw stored',
      ].sort(),
    )
    const { sfs } = itemOf(report, 'tailscale').stores
    const key = 'config/tailscale-2026-11-24.tar.gz'
    expect(sfs).toMatchObject({ status: 'stored', key, bytes: statSync(path.join(verda.cache, key)).size })
    expect(verda.read(`${key}.sha256`).toString()).toContain(`\n${sfs?.sha256}  ${path.basename(key)}\n`)
    expect(verda.checkByHand()).toEqual([])
    expect(verda.contentOf(key, 'var/lib/tailscale/tailscaled.state')).toBe('{"key":"state"}')

    const second = await verda.cron()
    expect(second.code).toBe(0)
    expect(second.stdout).toMatch(
      /^2026-11-24T10:00:\d\dZ unchanged env -> sfs: config\/env-2026-11-24.tar.gz /m,
    )
    expect(second.stdout.trimEnd().split('\n').at(-1)).toMatch(
      / OK backup-cron: 0 stored, 5 unchanged, 2 skipped, 0 failed$/,
    )
    expect(second.stderr).toBe('')
    for (const item of ['tailscale', 'ssh-host-keys', 'fail2ban', 'ufw', 'env']) {
      const lines = second.stdout.split('\n').filter((line) => line.includes(` ${item} `))
      expect(lines, 'one line an item').toHaveLength(1)
      expect(lines[0]).toMatch(/\(\d+ bytes, sha256 [0-9a-f]{12}\)$/)
    }
  })

  test('law 9: its report is kept beside the archives, in files that only their owner may read', async () => {
    await verda.cron()
    expect(verda.names('runs')).toEqual(['backup-cron-2026-11-24-10-00-00.json'])
    const kept = JSON.parse(verda.read('runs/backup-cron-2026-11-24-10-00-00.json').toString())
    expect(kept).toMatchObject({ command: 'backup-cron', ok: true })
    for (const folder of ['', 'config', 'runs'])
      expect(statSync(path.join(verda.cache, folder)).mode & 0o777).toBe(0o700)
    for (const name of verda.names())
      expect(statSync(path.join(verda.cache, 'config', name)).mode & 0o777, name).toBe(0o600)
  })

  test('--quiet says nothing when all is well, and what failed when it is not', async () => {
    const well = await verda.cron(['--quiet', '--only', 'env'])
    expect(well).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
    verda.remove('etc/ufw')
    const ill = await verda.cron(['--quiet', '--only', 'env,ufw'])
    expect(ill.code).toBe(1)
    const lines = ill.stdout.trimEnd().split('\n')
    expect(lines[0]).toMatch(/FAILED ufw -> sfs: \/etc\/ufw missing on verda/)
    expect(lines[1]).toMatch(/FAILED backup-cron: .* 1 failed \(ufw\)$/)
    expect(lines).toHaveLength(2)
  })

  test('law 7: one item that fails stops no other, and the last line names it', async () => {
    verda.remove('var/lib/tailscale')
    const run = await verda.cron(['--json'])
    expect(run.code).toBe(1)
    expect(reportOf(run).ok, '--json: standard output is the report and nothing else').toBe(false)
    expect(run.stderr).toMatch(/FAILED tailscale -> sfs: /)
    expect(run.stderr.trimEnd().split('\n').at(-1)).toMatch(
      / FAILED backup-cron: 4 stored, 0 unchanged, 2 skipped, 1 failed \(tailscale\)$/,
    )
    expect(verda.names().filter((name) => name.endsWith('.sha256'))).toHaveLength(4)
  })

  test.each([
    [
      'several, in the order of the inventory',
      ['--only', 'ufw,tailscale', '--dry-run'],
      ['tailscale', 'ufw'],
    ],
    ['a group, with the homes', ['--only', 'config', '--dry-run'], [...byDefault, 'home-dev', 'root-home']],
    [
      'the images',
      ['--only', 'containers', '--dry-run'],
      items.filter(({ group }) => group === 'containers').map(({ name }) => name),
    ],
    ['nothing left out by --quick, which has nothing to leave out here', ['--quick', '--dry-run'], byDefault],
  ])('--only: %s', async (_, args, expected) => {
    const run = await verda.cron([...args, '--json'])
    const answer = JSON.parse(run.stdout)
    const named = answer.jobs.map(({ item }: { item: string }) => item)
    expect(named).toEqual(expected)
  })

  test('other environments than production write below a folder of their own', async () => {
    expect((await verda.cron(['--only', 'env'], { env: { ENVIRONMENT: 'staging' } })).code).toBe(0)
    expect(verda.names('')).toEqual(['staging'])
    expect(verda.names('staging/config')).toEqual(['env-2026-11-24.tar.gz', 'env-2026-11-24.tar.gz.sha256'])
    expect(verda.names('staging/runs')).toHaveLength(1)
    expect(verda.read('staging/config/env-2026-11-24.tar.gz.sha256').toString()).toContain(
      '# environment: staging\n',
    )
  })
})

describe('law 10: --dry-run', () => {
  test('writes nothing, and prints as JSON the plan that the run carries out', async () => {
    const dry = await verda.cron(['--dry-run', '--json', '--only', 'config,scripts'])
    expect(dry.code).toBe(0)
    expect(existsSync(verda.cache)).toBe(false)
    const plan: Plan = JSON.parse(dry.stdout)

    const report = reportOf(await verda.cron(['--json', '--only', 'config,scripts']))
    expect(report.startedAt).toBe(String(plan.now))
    expect(report.items.map(({ item }) => item)).toEqual(plan.jobs.map(({ item }) => item))
    for (const { item, targets } of plan.jobs) {
      const outcome = itemOf(report, item)
      if (outcome.absent) continue
      expect(Object.keys(outcome.stores)).toEqual(targets.map(({ store }) => store))
      for (const { store, folder } of targets)
        expect(outcome.stores[store]?.key).toBe(`${folder}${item}-2026-11-24.tar.gz`)
    }
  })

  test('in words, names each item with its sources, its target and its keep rule', async () => {
    const { stdout } = await verda.cron(['--dry-run', '--only', 'env,comfyume-worker'])
    expect(stdout).toContain('env: /home/dev/comfyume-v1/.env on verda')
    expect(stdout).toContain('-> sfs: config/env-<day>.tar.gz; keeps 5 daily, 3 weekly, 3 monthly')
    expect(stdout).toContain('-> sfs: comfyume-worker-<day>.tar.gz; keeps 1 daily, 1 monthly')
  })
})

describe('--dry-run says what would go wrong, and ends with 1', () => {
  test('a source that is missing', async () => {
    verda.remove('etc/ufw')
    const { code, stdout } = await verda.cron(['--dry-run', '--only', 'env,ufw'])
    expect(code).toBe(1)
    expect(stdout).toMatch(/^PROBLEM ufw: \/etc\/ufw missing on verda/m)
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(
      'FAILED backup-cron --dry-run: a run now would be incomplete',
    )
    const json = await verda.cron(['--dry-run', '--json', '--only', 'ufw'])
    expect([json.code, JSON.parse(json.stdout).problems]).toEqual([1, [expect.stringMatching(/^ufw: /)]])
  })

  test('a share that is not mounted', async () => {
    const { code, stdout } = await verda.cron(['--dry-run', '--only', 'env'], {
      env: { SFS_REQUIRE_MOUNT: '1' },
    })
    expect(code).toBe(1)
    expect(stdout).toMatch(/^PROBLEM sfs: \S+ is not a mount point/m)
    expect(existsSync(verda.cache)).toBe(false)
  })
})

describe('wrong flags and settings: exit 2, and nothing was started', () => {
  test.each([
    [['--olny', 'env'], /--olny is not known/, /Known are --only a,b, --to STORES, --quick/],
    [['--only', 'evn'], /--only: evn: not known here/, /tailscale, ssh-host-keys, fail2ban/],
  ])('%j', async (args, says, lists) => {
    const run = await verda.cron(args)
    expect(run).toMatchObject({ code: 2, stdout: '' })
    expect(run.stderr).toMatch(says)
    expect(run.stderr).toMatch(lists)
    expect(run.stderr).not.toMatch(/ at .*\.ts:/)
    expect(existsSync(verda.cache)).toBe(false)
  })

  test('all wrong settings are named at once', async () => {
    const run = await verda.cron([], {
      env: {
        ENVIRONMENT: 'prod',
        SFS_ROOT: 'mnt/sfs',
        SFS_REQUIRE_MOUNT: 'yes',
        BACKUP_NOW: 'yesterday',
        CONTAINER_IMAGES: 'comfyume-nginx=nginx:alpine',
        R2_ENDPOINT: 'https://f1d627.r2.cloudflarestorage.com',
      },
    })
    expect(run).toMatchObject({ code: 2, stdout: '' })
    for (const name of [
      'ENVIRONMENT',
      'SFS_ROOT',
      'SFS_REQUIRE_MOUNT',
      'BACKUP_NOW',
      'CONTAINER_IMAGES',
      'R2_ENDPOINT',
    ])
      expect(run.stderr).toMatch(new RegExp(`^ {2}${name} `, 'm'))
    expect(run.stderr).toContain('.eu')
    expect(existsSync(verda.cache)).toBe(false)
  })
})

test('law 9: no secret is printed, reported or readable by others', async () => {
  const secrets = {
    R2_ACCESS_KEY_ID: 'id-of-r2',
    R2_SECRET_ACCESS_KEY: 'secret-of-r2',
    HETZNER_ENDPOINT: 'https://fsn1.your-objectstorage.com',
    HETZNER_ACCESS_KEY_ID: 'id-of-hetzner',
    HETZNER_SECRET_ACCESS_KEY: 'secret-of-hetzner',
    TAILSCALE_AUTHKEY: 'tskey-secret',
    BACKUP_PING_URL: 'ftp://ping.example/secret-ping',
  }
  const wrong = await verda.cron([], { env: { ...secrets, ENVIRONMENT: 'nowhere' } })
  expect(wrong.code).toBe(2)
  expect(wrong.stderr).toContain('BACKUP_PING_URL must begin with')
  verda.remove('etc/ufw')
  const right = { ...secrets, BACKUP_PING_URL: '' }
  const runs = [
    wrong,
    await verda.cron(['--json'], { env: right }),
    await verda.cron(['--dry-run', '--json'], { env: right }),
  ]
  const kept = verda.names('runs').map((name) => verda.read(`runs/${name}`).toString())
  const said = [...runs.flatMap(({ stdout, stderr }) => [stdout, stderr]), ...kept].join('\n')
  for (const secret of ['secret-of', 'tskey', 'secret-ping', 'pa$$word', 'id-of-'])
    expect(said).not.toContain(secret)
  expect(kept).toHaveLength(1)
})

test('--help explains the flags, the settings and the exit codes', async () => {
  const { code, stdout, stderr } = await verda.cron(['--help'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  for (const word of [
    '--only',
    '--to',
    '--quick',
    '--accept-shrink',
    '--wait',
    '--dry-run',
    '--json',
    '--quiet',
    '-h, --help',
    '--version',
  ])
    expect(stdout).toContain(`  ${word} `)
  for (const line of ['SFS_ROOT', 'VERDA_ROOT', 'PROJECT_DIR', '  75  ']) expect(stdout).toContain(line)
})

describe('two runs at once', () => {
  /** Takes the locks that another run would hold. */
  const hold = (held: string[]) => holdItems(verda, held)

  test('the second exits 75 and names the process that holds its items', async () => {
    const locks = await hold(byDefault)
    try {
      const run = await verda.cron(['--json'])
      expect(run.code).toBe(75)
      for (const { status, reason } of reportOf(run).items) {
        expect(status).toBe('skipped')
        expect(reason).toMatch(
          new RegExp(`^is being backed up by pid ${process.pid} \\(backup-cron since 20`),
        )
      }
      expect(verda.names()).toEqual([])
      const quiet = await verda.cron(['--quiet'])
      expect(quiet.code).toBe(75)
      expect(quiet.stdout).toContain(`pid ${process.pid} `)
    } finally {
      await locks.release()
    }
    expect((await verda.cron(['--quiet'])).code).toBe(0)
  })

  test('only what is held is left out; the rest is stored, and the run says that it is not all', async () => {
    const locks = await hold(['ufw'])
    try {
      const run = await verda.cron(['--json', '--only', 'ufw,env'])
      expect(run.code).toBe(1)
      const report = reportOf(run)
      expect(report.ok).toBe(false)
      expect(itemOf(report, 'ufw')).toMatchObject({ status: 'skipped' })
      expect(itemOf(report, 'env')).toMatchObject({ status: 'stored' })
    } finally {
      await locks.release()
    }
  })

  test('--wait waits for the other and then does the work', async () => {
    const locks = await hold(['env'])
    const run = verda.cron(['--json', '--only', 'env', '--wait', '30'])
    setTimeout(() => void locks.release(), 2500)
    const ended = await run
    expect(ended.code).toBe(0)
    expect(itemOf(reportOf(ended), 'env').status).toBe('stored')
  })

  test.each([
    ['another HOME', { HOME: '/nowhere' }],
    ['another MELLO_BACKUPS', { MELLO_BACKUPS: '/nowhere' }],
    [
      'another R2',
      { R2_ENDPOINT: 'http://127.0.0.1:9', R2_ACCESS_KEY_ID: 'id', R2_SECRET_ACCESS_KEY: 'key' },
    ],
    ['another path to the share', () => ({ SFS_ROOT: alias() })],
  ])('a run with %s backs up to the same share all the same, so it waits its turn', async (_, env) => {
    const locks = await hold(['env'])
    try {
      const more = typeof env === 'function' ? env() : env
      const run = await verda.cron(['--json', '--only', 'env'], { env: more })
      expect([run.code, itemOf(reportOf(run), 'env').reason]).toEqual([
        75,
        expect.stringContaining(`is being backed up by pid ${process.pid} (`),
      ])
    } finally {
      await locks.release()
    }
  })

  /** A second name of the share. */
  function alias(): string {
    const link = path.join(verda.folder, 'alias')
    symlinkSync(verda.sfs, link)
    return link
  }

  test('another environment on the same share is not held up', async () => {
    const locks = await hold(['env'])
    try {
      const run = await verda.cron(['--only', 'env'], { env: { ENVIRONMENT: 'staging' } })
      expect(run.code).toBe(0)
    } finally {
      await locks.release()
    }
  })

  test('where no lock can be made, the run says so and does its work', async () => {
    verda.put('.locks', 'in the way')
    const run = await verda.cron(['--json', '--only', 'env'])
    expect([run.code, itemOf(reportOf(run), 'env').status]).toEqual([0, 'stored'])
    expect(reportOf(run).warnings?.join()).toContain(`no lock in ${verda.cache}/.locks`)
    expect(run.stderr).toContain('warning no lock in')
  })

  test('the hourly line and the line of the images at 3 am do not disturb each other', async () => {
    const locks = await hold(items.filter(({ group }) => group === 'containers').map(({ name }) => name))
    try {
      const run = await verda.cron(['--json'])
      expect(run.code).toBe(0)
      expect(reportOf(run).items.some(({ reason }) => reason?.includes('pid'))).toBe(false)
    } finally {
      await locks.release()
    }
  })
})

test('a new day with nothing new is a link to the same bytes, with a record of its own', async () => {
  await verda.run({ only: ['env'] })
  settle()
  const { item } = await verda.run({ now: '2026-11-25T00:00:01Z' })
  expect(item.stores.sfs).toMatchObject({ status: 'unchanged', key: 'config/env-2026-11-25.tar.gz' })
  const inode = (day: string) => statSync(path.join(verda.cache, `config/env-2026-11-${day}.tar.gz`)).ino
  expect(inode('25')).toBe(inode('24'))
  expect(verda.read('config/env-2026-11-25.tar.gz.sha256').toString()).toContain(
    '# time: 2026-11-25T00:00:01.000Z\n',
  )
  expect(verda.checkByHand()).toEqual([])
})

test('certificates are taken wherever they are in /etc/ssl, and nothing is what packages put there', async () => {
  verda.write('etc/ssl/openssl.cnf', '[req]\n')
  verda.write('etc/ssl/certs/ca-certificates.crt', 'CAs of the system')
  verda.write('etc/ssl/certs/java/cacerts', 'the same for Java')
  verda.write('etc/ssl/certs/0a1b2c3d.0', 'one of them by its hash')
  expect((await verda.run({ only: ['ssl'] })).item).toMatchObject({ status: 'skipped' })
  verda.write('etc/ssl/workshop.example/fullchain.pem', 'certificate')
  verda.write('etc/ssl/certs/workshop.pem', 'certificate')
  expect((await verda.run({ only: ['ssl'] })).item).toMatchObject({ status: 'stored' })
  verda.write('etc/default/ufw', 'DEFAULT_INPUT_POLICY="DROP"\n')
  verda.write('etc/default/tailscaled', 'FLAGS="--encrypt-state=false"\n')
  await verda.run({ only: ['ufw'] })
  await verda.run({ only: ['tailscale'] })
  const root = path.join(verda.folder, 'drill')
  expect(await verda.restore(['--yes', '--only', 'ssl,ufw,tailscale', '--root', root])).toMatchObject({
    code: 0,
  })
  const back = [
    'ssl/workshop.example/fullchain.pem',
    'ssl/certs/workshop.pem',
    'default/ufw',
    'default/tailscaled',
  ]
  expect(back.filter((file) => !existsSync(path.join(root, 'etc', file)))).toEqual([])
  expect(existsSync(path.join(root, 'etc/ssl/certs/java'))).toBe(false)
})
