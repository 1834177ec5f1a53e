import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readRecord } from '../../lib/record.ts'
import type { statusJson } from '../../lib/status/show/text.ts'
import type { VerifyReport } from '../../lib/verify/read.ts'
import { holdItems } from './verda.ts'
import { buildWorkshop, cacheBucket, modelsBucket, type Workshop } from './workshop.ts'

let workshop: Workshop
beforeEach(async () => {
  workshop = await buildWorkshop()
})
afterEach(() => workshop.dispose())

async function adopt(args: string[] = [], env: Record<string, string> = {}) {
  const run = await workshop.verda.script('verify', ['--adopt', '--json', ...args], { env })
  if (run.stdout === '') throw new Error(run.stderr)
  return { code: run.code, log: run.stderr, ...(JSON.parse(run.stdout) as VerifyReport) }
}
function tarball(...members: string[]): Buffer {
  const folder = mkdtempSync(path.join(workshop.verda.tmp, 'tar-'))
  for (const member of members) {
    mkdirSync(path.dirname(path.join(folder, member)), { recursive: true })
    writeFileSync(path.join(folder, member), member)
  }
  return execFileSync('tar', ['-C', folder, '-czf', '-', '-T', '/dev/null', ...members])
}
function tarOf(members: Record<string, string>): Buffer {
  const folder = mkdtempSync(path.join(workshop.verda.tmp, 'tar-'))
  for (const [member, content] of Object.entries(members)) {
    mkdirSync(path.dirname(path.join(folder, member)), { recursive: true })
    writeFileSync(path.join(folder, member), content)
  }
  return execFileSync('tar', ['-C', folder, '-czf', '-', ...Object.keys(members)])
}
function folderOf(folder: string): Buffer {
  const above = mkdtempSync(path.join(workshop.verda.tmp, 'folder-'))
  mkdirSync(path.join(above, folder), { recursive: true })
  return execFileSync('tar', ['-C', above, '-czf', '-', folder])
}
const onSfs = (key: string) => path.join(workshop.verda.cache, key)
const record = (key: string) => readFileSync(onSfs(`${key}.sha256`), 'utf8')
const old = 'config/env-2026-11-20.tar.gz'

const image = 'comfyume-worker-2026-11-20.tar.gz'
const manifest = JSON.stringify([{ Config: 'config.json', RepoTags: ['w:latest'], Layers: ['layer.tar'] }])
const index = JSON.stringify({
  manifests: [
    { digest: `sha256:${'a'.repeat(64)}`, annotations: { 'io.containerd.image.name': 'w:latest' } },
  ],
})

describe('a whole archive without a record', () => {
  test('gets one that sha256sum takes, with what is known of it, and is good from then on', async () => {
    workshop.verda.put(old, tarball('home/dev/comfyume-v1/.env'))
    utimesSync(onSfs(old), new Date(), new Date('2026-11-20T05:10:30Z'))
    const { code, adopted, checked, log } = await adopt(['--store', 'sfs'])
    expect(code, log).toBe(0)
    expect(adopted).toMatchObject([{ store: 'sfs', item: 'env', key: old, time: '2026-11-20T05:10:30.000Z' }])
    expect(checked).toMatchObject([{ key: old, status: 'unverified', sha256: adopted[0]?.sha256 }])
    expect(record(old)).toBe(
      '# item: env\n# host: verda\n# environment: production\n# time: 2026-11-20T05:10:30.000Z\n' +
        `# bytes: ${adopted[0]?.bytes}\n# adopted: 2026-11-24T10:00:00.000Z\n${adopted[0]?.sha256}  env-2026-11-20.tar.gz\n`,
    )
    expect(workshop.verda.checkByHand()).toEqual([])
    expect(log).toMatch(
      /adopted env <- sfs: config\/env-2026-11-20\.tar\.gz: its record is written, with the time/,
    )
    expect(log).toContain('OK verify: 0 good, 1 unverified, 1 adopted, 0 broken')
    const again = await adopt(['--store', 'sfs'])
    expect([again.code, again.adopted]).toEqual([0, []])
    expect(again.checked).toMatchObject([{ key: old, status: 'good' }])
  })

  test('on R2 its record is the only thing written; in staging it says so, in its folder', async () => {
    const key = `staging/${old}`
    await workshop.r2.put(cacheBucket, key, tarball('home/dev/comfyume-v1/.env'))
    const { code, adopted } = await adopt(['--store', 'r2'], { ENVIRONMENT: 'staging' })
    expect([code, adopted.length]).toEqual([0, 1])
    expect(workshop.written()).toEqual([
      `${cacheBucket}/${key}.sha256`,
      `${cacheBucket}/staging/runs/verify-2026-11-24-10-00-00.json`,
    ])
    const text = (await workshop.r2.content(cacheBucket, `${key}.sha256`))?.toString() ?? ''
    expect(readRecord(text)).toMatchObject({
      archive: 'env-2026-11-20.tar.gz',
      environment: 'staging',
      // The server's own time is now, not the day in the name.
      time: new Date('2026-11-20T00:00:00Z'),
    })
  })

  test('that a run could not give its record, as its report says, is repaired; the next run goes on', async () => {
    workshop.verda.write('home/dev/comfyume-v1/.env', 'PASSWORD=first\n')
    workshop.r2.fail({ operation: 'PutObject', how: 403, code: 'AccessDenied', after: 3 })
    const failed = await workshop.backupVerda(['--only', 'env', '--to', 'r2'])
    expect(failed.code).toBe(1)
    expect(failed.stdout).toContain('is stored whole, but its record could not be')
    const { code, adopted } = await adopt(['--store', 'r2'])
    expect([code, adopted.map(({ key }) => key)]).toEqual([0, ['config/env-2026-11-24.tar.gz']])
    const { code: checked } = await workshop.verda.script('verify', ['--store', 'r2'])
    expect(checked).toBe(0)
    const next = await workshop.backupVerda(['--only', 'env', '--to', 'r2'])
    expect(next.code, next.stdout).toBe(0)
  })

  test('older archives are adopted as they were made: ssh host keys relative to their folder', async () => {
    workshop.verda.put('config/ssh-host-keys-2026-11-20.tar.gz', tarball('ssh_host_ed25519_key'))
    expect((await adopt()).adopted).toHaveLength(1)
  })

  test.each<[string, Record<string, string>]>([
    ['as docker save writes it', { 'manifest.json': manifest, 'config.json': '{}', 'layer.tar': 'layer' }],
    ['in the layout of OCI', { 'index.json': index, [`blobs/sha256/${'a'.repeat(64)}`]: '{}' }],
  ])('of an image, %s, gets one', async (_, members) => {
    workshop.verda.put(image, tarOf(members))
    const { code, adopted, log } = await adopt(['--store', 'sfs'])
    expect([code, adopted.map(({ key }) => key)], log).toEqual([0, [image]])
  })

  test('no other copy is rotated away for it', async () => {
    for (const day of ['20', '21', '22', '23', '24']) {
      workshop.verda.write('home/dev/comfyume-v1/.env', `DAY=${day}\n`)
      const env = { BACKUP_NOW: `2026-11-${day}T05:00:00Z` }
      expect((await workshop.verda.cron(['--only', 'env'], { env })).code).toBe(0)
    }
    for (const day of ['20', '21', '22', '23', '24'])
      workshop.verda.put(
        `config/env-2026-11-${day}-07.tar.gz`,
        tarball(`home/dev/comfyume-v1/.env of ${day}, which is larger than half of the other ones`),
      )
    const { code, adopted, log } = await adopt(['--store', 'sfs'])
    expect([code, adopted.length], log).toEqual([0, 5])
    workshop.verda.write('home/dev/comfyume-v1/.env', 'DAY=24, later\n')
    const next = await workshop.verda.cron(['--only', 'env'])
    expect(next.code, next.stdout).toBe(0)
    const names = workshop.verda.names()
    for (const day of ['20', '21', '22', '23', '24']) expect(names).toContain(`env-2026-11-${day}.tar.gz`)
  })
})

describe('no record is written', () => {
  test.each<[string, Record<string, string>]>([
    ['has a manifest that is none', { 'manifest.json': 'x'.repeat(1000) }],
    ['has none', { 'layer.tar': 'layer' }],
    ['lacks a layer', { 'manifest.json': manifest, 'config.json': '{}' }],
    ['lacks what its index names', { 'index.json': index, 'oci-layout': '{}' }],
  ])('for an image that %s; status knows it, and gives another remedy', async (_, members) => {
    workshop.verda.put(image, tarOf(members))
    const remedy = async () => {
      const run = await workshop.verda.script('status', ['--json', '--stores', 'sfs'])
      const { findings } = JSON.parse(run.stdout) as ReturnType<typeof statusJson>
      const about = findings.filter(({ trouble }) => trouble === 'no record')
      return about.map(({ what, todo, alarm }) => ({ alarm, text: `${what}. ${todo}` }))
    }
    const adopting =
      'On Verda run: comfyume-backup verify --adopt --store sfs --only comfyume-worker. It reads them whole'
    expect(await remedy()).toEqual([{ alarm: true, text: expect.stringContaining(adopting) }])

    const { code, adopted, refused, problems } = await adopt(['--store', 'sfs', '--only', 'comfyume-worker'])
    expect([code, adopted]).toEqual([1, []])
    expect(refused).toMatchObject([{ store: 'sfs', item: 'comfyume-worker', key: image }])
    expect(problems.join()).toMatch(/is not adopted: the saved image is incomplete/)
    const after = [
      {
        alarm: true,
        text: expect.stringMatching(
          /writes none: the saved image is incomplete: .*Look into it, then move it away/,
        ),
      },
    ]
    expect(await remedy()).toEqual(after)
    // A run for other items says nothing about this one.
    await workshop.verda.script('verify', ['--store', 'sfs', '--only', 'env'])
    await workshop.verda.script('verify', ['--store', 'sfs'])
    expect(await remedy()).toEqual(after)
    // Another file in its place may be a backup.
    workshop.verda.put(image, tarOf({ ...members, more: 'more' }))
    expect(await remedy()).toEqual([{ alarm: true, text: expect.stringContaining(adopting) }])
  })

  test.each<[string, string, () => Buffer, RegExp]>([
    ['for an empty archive', old, () => tarball(), /is not adopted: no file has content/],
    ['for an archive of one empty folder', old, () => folderOf('home/dev'), /no file has content/],
    [
      'for what is no tar archive',
      old,
      () => gzipSync('text'),
      /is not adopted: it is not a complete tar archive/,
    ],
    [
      'for an archive without what must be in it',
      'config/tailscale-2026-11-20.tar.gz',
      () => tarball('var/lib/tailscale/other'),
      /is not adopted: .* has no \*\/tailscaled\.state/,
    ],
    [
      'for a name from the future',
      'config/env-2026-11-25.tar.gz',
      () => tarball('.env'),
      /is not adopted: its name is from the future/,
    ],
  ])('%s, and that is a failure', async (_, key, content, said) => {
    workshop.verda.put(key, content())
    const { code, adopted, problems } = await adopt()
    expect([code, adopted]).toEqual([1, []])
    expect(problems.join()).toMatch(said)
    expect(workshop.verda.names()).toEqual([path.basename(key)])
  })

  test('for a tailscale state that no other machine can use', async () => {
    const state = path.join(workshop.verda.tmp, 'sealed/var/lib/tailscale/tailscaled.state')
    mkdirSync(path.dirname(state), { recursive: true })
    writeFileSync(state, '{"nonce":"a","data":"b"}')
    const content = execFileSync('tar', ['-C', path.join(workshop.verda.tmp, 'sealed'), '-czf', '-', 'var'])
    workshop.verda.put('config/tailscale-2026-11-20.tar.gz', content)
    const { code, adopted, problems } = await adopt()
    expect([code, adopted]).toEqual([1, []])
    expect(problems.join()).toMatch(/is not adopted: .*TPM/)
  })

  test('for what holds less than half of the copy before it; what holds some less never wins over that', async () => {
    const before = tarball(...Array.from({ length: 40 }, (_, n) => `home/dev/comfyume-v1/${n}/.env`))
    const half = (count: number) =>
      tarball(...Array.from({ length: count }, (_, n) => `home/dev/comfyume-v1/${n}/.env`))
    workshop.verda.putBackup('env', '2026-11-19', '2026-11-19T05:00:00Z')
    workshop.verda.put('config/env-2026-11-19.tar.gz', before)
    const sha256 = createHash('sha256').update(before).digest('hex')
    workshop.verda.put(
      'config/env-2026-11-19.tar.gz.sha256',
      `# time: 2026-11-19T05:00:00Z\n# bytes: ${before.length}\n${sha256}  env-2026-11-19.tar.gz\n`,
    )
    workshop.verda.put(old, half(3))
    const less = await adopt()
    expect([less.code, less.problems.join()]).toEqual([1, expect.stringMatching(/one that holds more/)])
    workshop.verda.put('config/env-2026-11-21.tar.gz', half(30))
    expect((await adopt()).adopted).toMatchObject([{ key: 'config/env-2026-11-21.tar.gz' }])
    const plan = await workshop.restore(['--dry-run', '--only', 'env', '--root', workshop.verda.tmp])
    expect(plan.stdout).toMatch(/env\s+sfs\s+config\/env-2026-11-19\.tar\.gz/)
  })

  test('for a broken archive', async () => {
    workshop.verda.put(old, tarball('.env').subarray(0, 50))
    const { code, adopted, checked } = await adopt()
    expect([code, adopted]).toEqual([1, []])
    expect(checked).toMatchObject([{ status: 'broken' }])
    expect(workshop.verda.names()).toHaveLength(1)
  })

  test('for undated archives and models', async () => {
    workshop.verda.put('config/env-latest.tar.gz', tarball('.env'))
    await workshop.r2.put(modelsBucket, 'vae/old.safetensors', Buffer.from('model'))
    const { code, adopted, checked } = await adopt()
    expect([code, adopted, checked.length]).toEqual([0, [], 2])
    expect(workshop.written().filter((key) => !key.includes('/runs/'))).toEqual([])
  })

  test('in the place of one that is garbage', async () => {
    workshop.verda.put(old, tarball('.env'))
    workshop.verda.put(`${old}.sha256`, 'garbage')
    expect((await adopt()).code).toBe(1)
    expect(record(old)).toBe('garbage')
  })

  test('while a backup of the item is running, which is told by its pid', async () => {
    workshop.verda.put(old, tarball('.env'))
    const locks = await holdItems(workshop.verda, ['env'])
    try {
      const { code, problems } = await adopt()
      expect(code).toBe(1)
      expect(problems.join()).toContain(`env is being backed up by pid ${process.pid} (backup-cron since`)
      expect(workshop.verda.names()).toEqual([path.basename(old)])
    } finally {
      await locks.release()
    }
    expect((await adopt(['--store', 'sfs'])).code).toBe(0)
  })

  test('by a dry run, which says what it would do', async () => {
    workshop.verda.put(old, tarball('.env'))
    const { code, stdout } = await workshop.verda.script('verify', ['--adopt', '--dry-run'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/env-2026-11-20\.tar\.gz \(\d+ bytes\), and write its record if it is whole\n/)
    expect(readdirSync(onSfs('config'))).toHaveLength(1)
    rmSync(onSfs(old))
  })
})
