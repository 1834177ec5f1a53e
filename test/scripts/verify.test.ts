import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Checked, VerifyReport } from '../../lib/verify/read.ts'
import type { Run } from './verda.ts'
import { buildWorkshop, cacheBucket, containersBucket, modelsBucket, type Workshop } from './workshop.ts'

// One workshop backed up to SFS, Mello and R2; each test damages what it needs and repairs it.
let workshop: Workshop
beforeAll(async () => {
  workshop = await buildWorkshop()
  const { verda } = workshop
  const runs = [
    await verda.cron(['--only', 'config,containers']),
    await workshop.backupVerda(),
    await workshop.backupMello(),
  ]
  for (const { code, stdout, stderr } of runs) expect(code, stdout + stderr).toBe(0)
})
afterAll(() => workshop.dispose())

let mend: (() => unknown)[] = []
beforeEach(async () => {
  for (const one of mend.reverse()) await one()
  mend = []
  rmSync(path.join(workshop.verda.folder, 'state'), { recursive: true, force: true })
})

const verify = (args: string[] = [], env: Record<string, string> = {}) =>
  workshop.verda.script('verify', args, { env })
async function report(args: string[] = [], env: Record<string, string> = {}) {
  const run = await verify([...args, '--json'], env)
  if (run.stdout === '') throw new Error(run.stderr)
  return { code: run.code, log: run.stderr, ...(JSON.parse(run.stdout) as VerifyReport) }
}
const named = (checked: readonly Checked[], status: string) =>
  checked.filter((one) => one.status === status).map(({ store, key }) => `${store} ${key}`)
const lastLine = ({ stdout }: Run) => stdout.trimEnd().split('\n').at(-1)

const onSfs = (key: string) => path.join(workshop.verda.cache, key)
const onMello = (key: string) => path.join(workshop.backups, key)
/** Replaces or removes a file until the next test. */
function spoilFile(file: string, content: Buffer | string | undefined) {
  const before = existsSync(file) ? readFileSync(file) : undefined
  mend.push(() => (before === undefined ? rmSync(file, { force: true }) : writeFileSync(file, before)))
  if (content === undefined) rmSync(file)
  else writeFileSync(file, content)
}
async function spoilObject(bucket: string, key: string, spoil: (content: Buffer) => Buffer) {
  const before = (await workshop.r2.content(bucket, key)) as Buffer
  mend.push(() => workshop.r2.put(bucket, key, before))
  await workshop.r2.put(bucket, key, spoil(before))
}
function flipped(content: Buffer, at = content.length >> 1): Buffer {
  const copy = Buffer.from(content)
  copy[at] = (copy[at] as number) ^ 1
  return copy
}
const tarball = (...members: string[]) => {
  const folder = path.join(workshop.verda.tmp, 'tarball')
  mkdirSync(folder, { recursive: true })
  for (const member of members) {
    mkdirSync(path.dirname(path.join(folder, member)), { recursive: true })
    writeFileSync(path.join(folder, member), member)
  }
  return execFileSync('tar', ['-C', folder, '-czf', '-', '-T', '/dev/null', ...members])
}
/** Names, times and content of both folders, without verify's reports. */
const snapshot = () =>
  [workshop.verda.cache, workshop.backups].flatMap((root) =>
    readdirSync(root, { recursive: true, encoding: 'utf8' })
      .sort()
      .filter((name) => !/^runs(\/verify-.*)?$/.test(name))
      .map((name) => {
        const about = statSync(path.join(root, name))
        return [
          name,
          about.mtimeMs,
          about.ctimeMs,
          about.isFile() && readFileSync(path.join(root, name), 'hex'),
        ]
      }),
  )
const written = () =>
  workshop.r2.log
    .filter(({ operation }) => !/^(List|Get|Head)/.test(operation))
    .map(({ operation, key }) => `${operation} ${key}`)

describe('everything good', () => {
  test('is said so, a line an archive and a last line for grep, and each store gets the report alone', async () => {
    const [before, requests] = [snapshot(), written().length]
    const run = await verify()
    expect(run.code, run.stdout).toBe(0)
    expect(lastLine(run)).toMatch(/Z OK verify: 40 good, 0 unverified, 0 broken, 0 not read; \d+ KB read$/)
    expect(run.stdout.match(/Z good /g)).toHaveLength(40)
    expect(run.stdout).toMatch(
      /good env <- r2: config\/env-2026-11-24\.tar\.gz \(\d+ bytes, sha256 [0-9a-f]{12}\)/,
    )
    expect(run.stdout).toContain('good models <- r2: checkpoints/base.safetensors (11 bytes, sha256 ')
    expect(run.stdout).toContain('left out hetzner: its settings are not set on this machine')
    expect(snapshot()).toEqual(before)
    expect(written().slice(requests)).toEqual(['PutObject runs/verify-2026-11-24-10-00-00.json'])
    for (const folder of [workshop.verda.cache, workshop.backups])
      expect(readdirSync(path.join(folder, 'runs')).filter((name) => name.startsWith('verify'))).toEqual([
        'verify-2026-11-24-10-00-00.json',
      ])
  })

  test('the report has every archive of every store', async () => {
    const { code, ok, checked, stores, unread, problems, adopted } = await report()
    expect([code, ok, unread, problems, adopted]).toEqual([0, true, 0, [], []])
    expect(stores).toMatchObject({
      sfs: { status: 'read', archives: 12 },
      mello: { status: 'read', archives: 12 },
      r2: { status: 'read', archives: 16 },
      hetzner: { status: 'left out' },
    })
    expect(checked).toHaveLength(40)
    const sum = execFileSync('sha256sum', [onSfs('config/env-2026-11-24.tar.gz')])
      .toString()
      .slice(0, 64)
    const bytes = statSync(onSfs('config/env-2026-11-24.tar.gz')).size
    expect(checked).toContainEqual({
      store: 'sfs',
      item: 'env',
      key: 'config/env-2026-11-24.tar.gz',
      status: 'good',
      bytes,
      sha256: sum,
    })
  })

  test('--store, --only and --quiet do what they say', async () => {
    expect(named((await report(['--store', 'mello', '--only', 'env,containers'])).checked, 'good')).toEqual([
      'mello config/env-2026-11-24.tar.gz',
      ...['frontend', 'worker', 'queue-manager', 'nginx', 'admin'].map(
        (name) => `mello comfyume-${name}-2026-11-24.tar.gz`,
      ),
    ])
    const quiet = await verify(['--quiet', '--only', 'env'])
    expect([quiet.code, quiet.stdout, quiet.stderr]).toEqual([0, '', ''])
  })
})

describe('every corruption is found and named, and nothing else', () => {
  const env = 'config/env-2026-11-24.tar.gz'
  const ufw = 'config/ufw-2026-11-24.tar.gz'
  const read = (key: string) => readFileSync(onSfs(key))

  test.each<[string, () => unknown, RegExp]>([
    [
      'a bit flipped at the start',
      () => spoilFile(onSfs(env), flipped(read(env), 0)),
      /other content than its record/,
    ],
    ['in the middle', () => spoilFile(onSfs(env), flipped(read(env))), /other content than its record/],
    ['at the end', () => spoilFile(onSfs(env), flipped(read(env), read(env).length - 1)), /other content/],
    [
      'cut short',
      () => spoilFile(onSfs(env), read(env).subarray(0, 99)),
      /is cut short: 99 bytes of \d+ bytes/,
    ],
    ['emptied', () => spoilFile(onSfs(env), ''), /is cut short: 0 bytes of \d+ bytes/],
    [
      'longer',
      () => spoilFile(onSfs(env), Buffer.concat([read(env), Buffer.from('x')])),
      /is longer than its record/,
    ],
    ['gone', () => spoilFile(onSfs(env), undefined), /is gone, only its record is there/],
    [
      'with garbage for a record',
      () => spoilFile(onSfs(`${env}.sha256`), 'garbage'),
      /is not a readable record; .*whole/,
    ],
    [
      'with an empty record',
      () => spoilFile(onSfs(`${env}.sha256`), ''),
      /is not a readable record; .*whole gzip/,
    ],
    [
      'with the record of another',
      () => spoilFile(onSfs(`${env}.sha256`), read(`${ufw}.sha256`)),
      /names another archive, "ufw-2026-11-24\.tar\.gz"; the archive itself is whole gzip with 1 members/,
    ],
    [
      'another one under its name',
      () =>
        spoilFile(onSfs(env), Buffer.concat([read(ufw), Buffer.alloc(300)]).subarray(0, read(env).length)),
      /other content/,
    ],
  ])('on SFS: %s', async (_, spoil, said) => {
    spoil()
    const { code, ok, checked, log } = await report()
    expect([code, ok]).toEqual([1, false])
    expect(named(checked, 'broken')).toEqual([`sfs ${env}`])
    expect(named(checked, 'good')).toHaveLength(39)
    expect(checked.find(({ status }) => status === 'broken')?.reason).toMatch(said)
    expect(log).toMatch(new RegExp(`BROKEN env <- sfs: ${env} .*restore skips it`))
    expect(log).toMatch(new RegExp(`FAILED verify: 39 good, 0 unverified, 1 broken \\(sfs ${env}\\)`))
  })

  test('the line tells where the same content lies, and how to move the broken one away', async () => {
    spoilFile(onSfs(env), flipped(read(env)))
    const run = await verify(['--store', 'sfs', '--only', 'env'])
    expect(run.code).toBe(1)
    expect(run.stdout).toContain(
      `restore skips it; by its record the same content is also in mello (${env}) and r2 (${env}); ` +
        `move it away: mv ${onSfs(env)} ${onSfs(env)}.sha256 ~/, and the next backup makes it again\n`,
    )
  })

  test('after the advice was taken and a backup ran, all is good again', async () => {
    const before = [read(env), read(`${env}.sha256`)] as const
    spoilFile(onSfs(env), flipped(read(env)))
    mend = []
    const { stdout } = await verify(['--store', 'sfs', '--only', 'env'])
    const command = /mv .* ~\//.exec(stdout)?.[0] as string
    execFileSync('bash', ['-c', command], { env: { ...process.env, HOME: workshop.verda.tmp } })
    expect((await workshop.verda.cron(['--only', 'env'])).code).toBe(0)
    expect((await verify(['--store', 'sfs', '--only', 'env'])).code).toBe(0)
    expect(read(env)).toEqual(before[0])
  })

  test('on Mello and R2, and models: each in its own store', async () => {
    spoilFile(onMello(ufw), flipped(readFileSync(onMello(ufw))))
    await spoilObject(cacheBucket, env, flipped)
    await spoilObject(containersBucket, 'comfyume-worker-2026-11-24.tar.gz', (content) => content.subarray(1))
    await spoilObject(modelsBucket, 'loras/style.safetensors', () => Buffer.from('stylE\n'))
    const { code, checked, log } = await report()
    expect(code).toBe(1)
    expect(named(checked, 'broken').sort()).toEqual([
      `mello ${ufw}`,
      'r2 comfyume-worker-2026-11-24.tar.gz',
      `r2 ${env}`,
      'r2 loras/style.safetensors',
    ])
    expect(log).toMatch(
      /BROKEN env <- r2: .*nothing is ever removed there: the next backup stores its sources/,
    )
    expect(log).toMatch(
      /BROKEN comfyume-worker <- r2: .* cut short.*: the next backup stores its sources again, next to it/,
    )
    expect(log).toMatch(
      /BROKEN models <- r2: .*no other store .* has this content.*: the next backup stores its sources again, next to it/,
    )
  })

  test('what has no record: whole is unverified, broken is broken', async () => {
    spoilFile(onSfs('config/env-2026-11-20.tar.gz'), tarball('home/dev/comfyume-v1/.env'))
    spoilFile(onSfs('config/env-2026-11-19.tar.gz'), tarball('home/dev/comfyume-v1/.env').subarray(0, -9))
    spoilFile(onSfs('config/env-2026-11-18.tar.gz'), tarball())
    spoilFile(onSfs('config/env-2026-11-17.tar.gz'), gzipSync('no tar'))
    spoilFile(onSfs('config/env-latest.tar.gz'), tarball('.env'))
    await workshop.r2.put(modelsBucket, 'vae/old.safetensors', Buffer.from('old model'))
    const { code, checked, log } = await report()
    expect(code).toBe(1)
    expect(named(checked, 'broken')).toEqual(['sfs config/env-2026-11-19.tar.gz'])
    expect(named(checked, 'unverified').sort()).toEqual([
      'r2 vae/old.safetensors',
      'sfs config/env-2026-11-17.tar.gz',
      'sfs config/env-2026-11-18.tar.gz',
      'sfs config/env-2026-11-20.tar.gz',
      'sfs config/env-latest.tar.gz',
    ])
    expect(log).toMatch(
      /unverified env <- sfs: .*11-20\.tar\.gz has no record; it is whole, with 1 member; --adopt judges what is in it/,
    )
    expect(log).toMatch(
      /unverified env <- sfs: .*11-18\.tar\.gz has no record; it is whole gzip, but not a backup: no file has content/,
    )
    expect(log).toMatch(
      /unverified env <- sfs: .*11-17\.tar\.gz has no record; it is whole gzip, but not a backup: it is not a complete tar/,
    )
    expect(log).toMatch(
      /BROKEN env <- sfs: .*11-19\.tar\.gz has no record and is not a complete gzip file: unexpected end/,
    )
  })

  test('what is foreign is neither claimed nor touched', async () => {
    const foreign = [
      'notes.txt',
      'config/env.tar.gz',
      'config/env-2026-13-40.tar.gz',
      'config/env-2026-11-24.tar.gz.bak',
      'config/envy-2026-11-24.tar.gz',
      'config/other-2026-11-24.tar.gz',
      'config/other-2026-11-24.tar.gz.sha256',
      'config/.env-2026-11-24.tar.gz.other@1@1@1.partial',
      'env-2026-11-24.tar.gz',
      'staging/config/env-2026-11-24.tar.gz',
      'runs/backup-cron-2026-11-24-09-00-00.json',
    ]
    mkdirSync(onSfs('staging/config'), { recursive: true })
    for (const key of foreign) spoilFile(onSfs(key), 'not ours')
    const before = snapshot()
    const { code, checked } = await report(['--adopt'])
    expect(code).toBe(0)
    expect(named(checked, 'good')).toHaveLength(40)
    expect(checked.filter(({ store }) => store === 'sfs')).toHaveLength(12)
    expect(snapshot()).toEqual(before)
  })

  test('another environment has its own folder', async () => {
    spoilFile(onSfs('config/env-2026-11-24.tar.gz'), 'broken, of production')
    const staging = await workshop.verda.cron(['--only', 'env'], { env: { ENVIRONMENT: 'staging' } })
    expect(staging.code).toBe(0)
    mend.push(() => rmSync(onSfs('staging'), { recursive: true, force: true }))
    const { code, checked } = await report(['--store', 'sfs'], { ENVIRONMENT: 'staging' })
    expect(code).toBe(0)
    expect(named(checked, 'good')).toEqual(['sfs staging/config/env-2026-11-24.tar.gz'])
  })
})

describe('a store that cannot be read', () => {
  test('a share that is not mounted is told in the words of the backup, and the others go on', async () => {
    const notMounted = { SFS_REQUIRE_MOUNT: '1' }
    const { code, ok, stores, checked, problems } = await report([], notMounted)
    expect([code, ok]).toEqual([1, false])
    expect(stores.sfs?.status).toBe('failed')
    const backup = await workshop.verda.cron(['--only', 'env'], { env: notMounted })
    expect(problems).toHaveLength(1)
    expect(backup.stdout).toContain(problems[0])
    expect(problems[0]).toMatch(/^sfs: .* is not a mount point, .*"share settings"$/)
    expect(named(checked, 'good')).toHaveLength(28)
    const run = await verify([], notMounted)
    expect(lastLine(run)).toMatch(/FAILED verify: 28 good.*unreachable: sfs, 1 problem/)
  })

  test('a key that is refused, a bucket that is missing: what can be read of R2 is read', async () => {
    const refused = await report(['--store', 'r2'], { R2_SECRET_ACCESS_KEY: 'wrong' })
    expect(refused.code).toBe(1)
    expect(refused.problems.join()).toContain('403 SignatureDoesNotMatch')
    expect(refused.log + JSON.stringify(refused)).not.toContain(workshop.r2.secretAccessKey)
    const missing = await report(['--store', 'r2'], { R2_MODELS_BUCKET: 'nothing-here' })
    expect(missing.code).toBe(1)
    expect(missing.problems.join()).toContain('There is no bucket nothing-here')
    expect(named(missing.checked, 'good')).toHaveLength(14)
  })

  test('a folder that is not there is left out, but not when it is asked for by name', async () => {
    const elsewhere = { MELLO_BACKUPS: path.join(workshop.verda.folder, 'nowhere') }
    const all = await report([], elsewhere)
    expect([all.code, all.stores.mello?.status]).toEqual([0, 'left out'])
    const asked = await report(['--store', 'mello'], elsewhere)
    expect([asked.code, asked.stores.mello?.status]).toEqual([1, 'failed'])
    expect(asked.problems).toContain('no store could be read')
    expect(existsSync(elsewhere.MELLO_BACKUPS)).toBe(false)
  })

  test('a mounted share without the cache is a failure: it may be another share', async () => {
    // /proc is mounted on every machine.
    const { code, stores } = await report(['--only', 'env'], {
      SFS_ROOT: '/proc',
      SFS_CACHE: '/proc/no-cache',
      SFS_REQUIRE_MOUNT: '1',
    })
    expect([code, stores.sfs?.status]).toEqual([1, 'failed'])
    expect(stores.sfs?.reason).toContain('there is no folder /proc/no-cache here')
  })

  test.skipIf(existsSync('/mnt/sfs'))(
    'a machine that never had the share is not blamed for it, unless by name',
    async () => {
      const mello = { SFS_ROOT: '', SFS_REQUIRE_MOUNT: '1' }
      const all = await report(['--only', 'env'], mello)
      expect([all.code, all.stores.sfs?.status, all.stores.r2?.status]).toEqual([0, 'left out', 'read'])
      const asked = await report(['--only', 'env', '--store', 'sfs'], mello)
      expect([asked.code, asked.stores.sfs?.status]).toEqual([1, 'failed'])
    },
  )

  test('a key that may list and not read breaks no archive', async () => {
    workshop.r2.fail({ operation: 'GetObject', how: 403, code: 'AccessDenied', times: 2 })
    // The report of the run before is refused as well.
    const { code, checked, unread, problems } = await report(['--store', 'r2', '--only', 'env,ufw'])
    // Both are in one bucket, so one refusal is enough.
    expect([code, unread, checked]).toEqual([1, 2, []])
    expect(problems[0]).toContain('AccessDenied')
  })
})
