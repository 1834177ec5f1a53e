import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { carryOutRestore } from '../../lib/restore/run.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { type Drilled, type DrillReport, differencesFrom, planDrill } from '../../lib/verify/drill.ts'
import { buildWorkshop, cacheBucket, type Workshop } from './workshop.ts'

let workshop: Workshop
const drill = (args: string[] = [], env: Record<string, string> = {}) =>
  workshop.verda.script('verify', ['--drill', ...args], { env })
const reportOf = (stdout: string): DrillReport => JSON.parse(stdout)
const drilled = (report: DrillReport, item: string) =>
  report.items.find((one) => one.item === item) as Drilled

beforeAll(async () => {
  workshop = await buildWorkshop()
  const { verda } = workshop
  // A setuid bit of a user's file never comes back, which is no difference.
  const tool = 'home/dev/comfyume-v1/data/workflows/user001/tool'
  workshop.write(tool, 'x')
  chmodSync(path.join(workshop.mello, tool), 0o4755)
  // Reading its holes would take an hour.
  verda.write('home/dev/a disk', 'some data')
  truncateSync(path.join(verda.root, 'home/dev/a disk'), 2 ** 41)
  const cron = await verda.cron(['--only', 'config,containers'])
  expect(cron.code, cron.stdout).toBe(0)
  expect((await workshop.backupVerda()).code).toBe(0)
  expect((await workshop.backupMello()).code).toBe(0)
})
afterAll(() => workshop.dispose())

describe('verify --drill', () => {
  test('says of everything that it is restorable, and leaves nothing behind', async () => {
    const before = workshop.servers.r2.log.length
    const { code, stdout } = await drill()
    expect(stdout).toMatch(
      /restorable tailscale <- sfs: config\/tailscale-2026-11-24.tar.gz of 2026-11-24T10:00Z/,
    )
    expect(stdout).toMatch(/restorable user-data <- r2: user-data-2026-11-24-10.tar.gz/)
    expect(stdout).toMatch(/restorable comfyume-worker <- sfs/)
    expect(stdout).toMatch(/restorable credentials/)
    expect(stdout.trimEnd().split('\n').at(-1)).toMatch(
      /OK verify --drill: 1\d restorable, \d left out, 0 not restorable$/,
    )
    expect(code).toBe(0)
    expect(readdirSync(workshop.verda.tmp).filter((name) => name.startsWith('comfyume-'))).toEqual([])
    const asked = workshop.servers.r2.log.slice(before)
    expect(asked.filter(({ method }) => method !== 'GET' && method !== 'HEAD')).toEqual([])
  })

  test('--json is one report, --only and --store narrow it, --quiet says nothing of what is well', async () => {
    const run = await drill(['--json', '--only', 'env,ufw', '--store', 'r2'])
    const report = reportOf(run.stdout)
    expect(report).toMatchObject({ command: 'verify', drill: true, ok: true })
    expect(report.items.map(({ item, source }) => [item, source])).toEqual([
      ['ufw', 'r2'],
      ['env', 'r2'],
    ])
    expect(await drill(['--quiet', '--only', 'env'])).toMatchObject({ code: 0, stdout: '' })
  })

  test('random bytes are no image, with a record or without, and nor is an archive that lacks a layer', async () => {
    const { verda } = workshop
    const key = 'comfyume-admin-2026-11-24.tar.gz'
    const good = verda.read(key)
    const record = verda.read(`${key}.sha256`)
    const files = mkdtempSync(path.join(tmpdir(), 'image-'))
    const manifest = JSON.stringify([{ Config: 'a', RepoTags: ['a:1'], Layers: ['b'] }])
    writeFileSync(path.join(files, 'manifest.json'), manifest)
    const partial = execFileSync('tar', ['-cz', '-C', files, 'manifest.json'])
    try {
      rmSync(path.join(verda.cache, `${key}.sha256`))
      for (const [bytes, says] of [
        [randomBytes(100_000), /it cannot be unpacked/],
        [gzipSync(randomBytes(100_000)), /not a complete archive|no manifest/],
        [partial, /2 of 2 parts are missing/],
      ] as const) {
        verda.put(key, bytes)
        const { items, ok } = reportOf(
          (await drill(['--json', '--only', 'comfyume-admin', '--store', 'sfs'])).stdout,
        )
        expect([ok, items[0]?.status]).toEqual([false, 'not restorable'])
        expect(items[0]?.reason).toMatch(says)
      }
    } finally {
      verda.put(key, good)
      verda.put(`${key}.sha256`, record)
      rmSync(files, { recursive: true })
    }
  })

  test('a copy that has rotted is skipped and named; when all have, the item is not restorable and the others are', async () => {
    const { verda, servers } = workshop
    const key = 'config/env-2026-11-24.tar.gz'
    const good = verda.read(key)
    const bad = Buffer.from(good)
    bad[good.length >> 1] = (bad[good.length >> 1] as number) ^ 1
    try {
      verda.put(key, bad)
      const second = await drill(['--json', '--only', 'env,ufw'])
      const over = reportOf(second.stdout)
      // Everything comes back, but the preferred copy is damaged: the operator must know.
      expect([second.code, over.ok]).toEqual([1, false])
      expect(second.stderr).toMatch(
        /NOT FROM ITS BEST COPY env <- r2: .*; skipped: config\/env-2026-11-24\.tar\.gz in sfs/,
      )
      expect(second.stderr).toMatch(/FAILED verify --drill: 2 restorable, .*1 not from the best copy \(env\)/)
      expect(drilled(over, 'env').bad).toEqual(drilled(over, 'env').passed)
      expect(drilled(over, 'env')).toMatchObject({ status: 'restorable', source: 'r2' })
      expect(drilled(over, 'env').passed).toEqual([
        { source: 'sfs', key, reason: expect.stringMatching(/not what its record says/) },
      ])
      const onMello = path.join(workshop.backups, key)
      const stored = (await servers.r2.content(cacheBucket, key)) as Buffer
      await servers.r2.put(cacheBucket, key, bad.subarray(0, stored.length))
      writeFileSync(onMello, bad)
      const run = await drill(['--only', 'env,ufw'])
      expect(run.code).toBe(1)
      expect(run.stdout).toMatch(/NOT RESTORABLE env: none of 3 copies is good/)
      expect(run.stdout).toMatch(/restorable ufw/)
      expect(run.stdout).toMatch(/FAILED verify --drill: 1 restorable, 0 left out, 1 not restorable \(env\)/)
      await servers.r2.put(cacheBucket, key, stored)
      writeFileSync(onMello, stored)
    } finally {
      verda.put(key, good)
    }
  })

  test.each([
    [['--bytes', '1G'], /--drill restores the newest of everything/],
    [['--adopt'], /--drill restores the newest of everything/],
    [['--store', 'moon'], /the stores are/],
    [['--only', 'moon'], /restore brings back/],
  ])('refuses %j', async (args, message) => {
    const { code, stdout, stderr } = await drill(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
  })

  test('--dry-run prints the plan and restores nothing', async () => {
    const { code, stdout } = await drill(['--dry-run', '--only', 'env'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/env\s+sfs\s+config\/env-2026-11-24.tar.gz/)
    expect(existsSync(path.join(workshop.verda.tmp, 'comfyume-drill'))).toBe(false)
  })
})

describe('what was restored is compared with its archive', () => {
  const silent = {
    started() {},
    total() {},
    bytes() {},
    note() {},
    stepDone() {},
    checked() {},
  }

  test.each<[string, (root: string) => void, RegExp | undefined, string[]?]>([
    ['nothing, when nothing was changed', () => {}, undefined],
    [
      'other content',
      (root) => writeFileSync(`${root}/home/dev/notes.txt`, 'nOtes\n'),
      /notes.txt: Contents differ/,
    ],
    ['another mode', (root) => chmodSync(`${root}/home/dev/notes.txt`, 0o600), /notes.txt: Mode differs/],
    ['a missing file', (root) => rmSync(`${root}/home/dev/notes.txt`), /notes.txt/],
    [
      'what differs beside what was left out',
      (root) => writeFileSync(`${root}/home/dev/notes.txt`, 'nOtes\n'),
      /notes.txt: Contents differ/,
      ['home/dev/notes', 'dev'],
    ],
    [
      'nothing, when only what was left out differs',
      (root) => rmSync(`${root}/home/dev/notes.txt`),
      undefined,
      ['home/dev/notes.txt'],
    ],
    [
      'other content in a file that is mostly holes',
      (root) => writeFileSync(`${root}/home/dev/a disk`, 'X', { flag: 'r+' }),
      /a disk: Contents differ/,
    ],
  ])('and shows %s', async (_, change, difference, left = []) => {
    const root = mkdtempSync(path.join(tmpdir(), 'drill-test-'))
    try {
      mkdirSync(root, { recursive: true })
      const settings = readSettings({ ...workshop.verda.settings, BACKUP_NOW: '' }, [])
      const now = new Date('2026-11-24T12:00:00Z')
      const { context, steps } = await planDrill(
        settings,
        { only: ['home-dev'], stores: ['r2'] },
        now,
        silent,
        root,
      )
      const [outcome] = (await carryOutRestore(context, steps, () => now)).items
      change(root)
      const found = await differencesFrom(context, { ...outcome, left } as never)
      if (difference === undefined) expect(found).toEqual([])
      else expect(found.join('\n')).toMatch(difference)
    } finally {
      rmSync(root, { recursive: true })
    }
  })
})
