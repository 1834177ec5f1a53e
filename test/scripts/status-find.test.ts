import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { linkSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readRecord } from '../../lib/record.ts'
import { buildWorkshop, cacheBucket, type Workshop } from './workshop.ts'

/** `status --find`: which copies of which days have a file, and how to get it back. */

let workshop: Workshop
/** Written on the 24th, changed on the 25th, gone on the 26th. */
const notes = 'home/dev/notes/todo [1].txt'
beforeAll(async () => {
  workshop = await buildWorkshop()
  const { verda } = workshop
  const backUp = async (day: string) => {
    const env = { BACKUP_NOW: `2026-11-${day}T10:00:00Z` }
    const runs = [
      await verda.cron(['--only', 'home-dev,env'], { env }),
      await workshop.backupVerda(['--only', 'home-dev,env'], env),
    ]
    for (const { code, stdout, stderr } of runs) expect(code, stdout + stderr).toBe(0)
  }
  for (const name of ['a', 'b', 'c']) verda.write(`home/dev/${name}`, 'it stays\n')
  // Large, so that Mello and R2 get increments afterwards.
  writeFileSync(path.join(verda.root, 'home/dev/large'), randomBytes(100_000))
  verda.write(notes, 'first\n')
  await backUp('24')
  verda.write(notes, 'second\n')
  linkSync(path.join(verda.root, notes), path.join(verda.root, 'home/dev/notes/zz'))
  await backUp('25')
  for (const file of [notes, 'home/dev/notes/zz']) rmSync(path.join(verda.root, file))
  await backUp('26')
})
afterAll(() => workshop.dispose())

const now = { BACKUP_NOW: '2026-11-27T12:00:00Z' }
const find = (pattern: string, ...args: string[]) =>
  workshop.verda.script('status', ['--find', pattern, ...args], {
    env: now,
  })
const rows = (stdout: string) =>
  stdout
    .split('\n')
    .filter((line) => /^20\d\d-/.test(line))
    .map((line) => line.split(/ {2,}/))
const lastLine = (stdout: string) => stdout.trimEnd().split('\n').at(-1) as string

test('each copy with its stores, size and time, the newest first, and the last line brings that one back', async () => {
  const before = workshop.r2.log.length
  const run = await find('todo*', '--only', 'home-dev')
  expect(run.code, run.stderr).toBe(0)
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d$/)
  expect(rows(run.stdout)).toEqual([
    ['2026-11-25', 'home-dev', 'sfs,mello,r2', '7 bytes', time, notes],
    ['2026-11-24', 'home-dev', 'sfs,mello,r2', '6 bytes', time, notes],
  ])
  expect(run.stdout).toMatch(/^ {2}3 archives to search, \d\S* \w+ to read: 3 from SFS cache \(/m)
  // Only records were read from R2.
  const asked = workshop.r2.log.slice(before).filter(({ operation }) => operation === 'GetObject')
  expect(asked.filter(({ key }) => key.endsWith('.tar.gz'))).toEqual([])

  const to = await bringBack(lastLine(run.stdout))
  expect(readFileSync(path.join(to, notes), 'utf8')).toBe('second\n')
})

/** Runs the printed command, with a folder of its own. */
async function bringBack(command: string): Promise<string> {
  const words = command.match(/'[^']*'|\S+/g) ?? []
  expect(words.slice(0, 2)).toEqual(['comfyume-backup', 'restore'])
  const to = mkdtempSync(path.join(workshop.verda.folder, 'back-'))
  const flags = words.slice(2).map((word) => word.replace(/^'|'$/g, ''))
  const back = await workshop.restore([...flags, '--to', to, '--yes'], now)
  expect(back.code, back.stderr).toBe(0)
  return to
}

describe.each(['mello', 'r2'])('in a chain on %s', (store) => {
  test('a file is in each hour that had it, whichever archive holds it, and comes back', async () => {
    const run = await find('/home/dev/[a]', '--only', 'home-dev', '--stores', store)
    expect(rows(run.stdout).map(([stamp]) => stamp)).toEqual(['2026-11-26', '2026-11-25', '2026-11-24'])
    const key = 'config/home-dev-2026-11-26.tar.gz'
    expect(
      readRecord(readFileSync(path.join(workshop.backups, `${key}.sha256`), 'utf8'))?.increment?.link,
    ).toBe(2)
    const members = execFileSync('tar', ['-tzf', path.join(workshop.backups, key)]).toString()
    expect(members).not.toContain('home/dev/a\n')
    const to = await bringBack(lastLine(run.stdout))
    expect(readFileSync(path.join(to, 'home/dev/a'), 'utf8')).toBe('it stays\n')
  })

  test('a file that was deleted is not in the hours after, and its last version comes back', async () => {
    const run = await find('todo*', '--only', 'home-dev', '--stores', store, '--since', '2026-11-25')
    expect(rows(run.stdout).map(([stamp]) => stamp)).toEqual(['2026-11-25'])
    const to = await bringBack(lastLine(run.stdout))
    expect(readFileSync(path.join(to, notes), 'utf8')).toBe('second\n')
    expect((await find('todo*', '--stores', store, '--at', '2026-11-26')).code).toBe(1)
  })

  test('a further name of a file comes back as the file that it is', async () => {
    const run = await find('zz', '--only', 'home-dev', '--stores', store)
    expect(rows(run.stdout).map((row) => row.at(-1))).toEqual([
      `home/dev/notes/zz (the same file as ${notes})`,
    ])
    const to = await bringBack(lastLine(run.stdout))
    expect(readFileSync(path.join(to, notes), 'utf8')).toBe('second\n')
  })
})

test.each<[string, string, RegExp, string[]]>([
  ['what it builds on', '24.tar.gz', /it builds on home-dev-2026-11-24\.tar\.gz, which is gone/, []],
  ['its list', '25.list.gz', /it is an increment, and its list is gone/, ['2026-11-24']],
])('an increment without %s is named, and has nothing', async (_, end, reason, stamps) => {
  const file = path.join(workshop.backups, `config/home-dev-2026-11-${end}`)
  renameSync(file, `${file}.away`)
  try {
    const run = await find('todo*', '--only', 'home-dev', '--stores', 'mello', '--at', '2026-11-25')
    expect(run.code).toBe(1)
    expect(run.stdout).toMatch(reason)
    expect(rows(run.stdout).map(([stamp]) => stamp)).toEqual(stamps)
  } finally {
    renameSync(`${file}.away`, file)
  }
})

test('a further name of a file comes back as the file that it is', async () => {
  const run = await find('/home/dev/notes/*', '--only', 'home-dev', '--at', '2026-11-25')
  const paths = rows(run.stdout).map((row) => row.at(-1))
  expect(paths).toEqual([notes, `home/dev/notes/zz (the same file as ${notes})`])
})

test('--at looks into the copy of then alone, --since into those from then on', async () => {
  const stamps = async (...args: string[]) =>
    rows((await find('todo*', ...args)).stdout).map(([stamp]) => stamp)
  expect(await stamps('--at', '2026-11-24')).toEqual(['2026-11-24'])
  expect(await stamps('--at', '2026-11-26')).toEqual([])
  expect(await stamps('--since', '2026-11-25')).toEqual(['2026-11-25'])
  expect(await stamps('--since', '2026-11-20', '--at', '2026-11-24-12')).toEqual(['2026-11-24'])
})

test('--json has every copy, and the command', async () => {
  const run = await find('todo*', '--only', 'home-dev', '--stores', 'r2', '--json')
  const report = JSON.parse(run.stdout)
  expect(report).toMatchObject({ find: 'todo*', archives: 3, ok: true, problems: [] })
  expect(report.bytesFromObjectStorage).toBe(report.bytes)
  expect(report.found).toMatchObject([
    { item: 'home-dev', store: 'r2', key: 'config/home-dev-2026-11-25.tar.gz', path: notes, bytes: 7 },
    { item: 'home-dev', store: 'r2', key: 'config/home-dev-2026-11-24.tar.gz', path: notes, bytes: 6 },
  ])
  expect(report.restore).toMatch(/--at 2026-11-25-10-00 --from r2$/)
})

test('what matches nothing ends with 1 and says what to try', async () => {
  const run = await find('tod', '--only', 'home-dev')
  expect(run.code).toBe(1)
  expect(run.stdout).toContain('Nothing matches tod in 3 archives')
  expect(lastLine(run.stdout)).toBe("comfyume-backup status --find '*tod*'")
})

test('a copy that cannot be read gives way to the same one elsewhere, and is named', async () => {
  const key = 'config/home-dev-2026-11-25.tar.gz'
  const file = path.join(workshop.verda.cache, key)
  const whole = readFileSync(file)
  truncateSync(file, whole.length - 30)
  truncateSync(file, whole.length)
  const run = await find('todo*', '--at', '2026-11-25')
  expect(run.code).toBe(1)
  expect(run.stdout).toContain(`NOT READ: ${key} on SFS cache: it cannot be read`)
  expect(rows(run.stdout)).toHaveLength(1)
})

test('an archive without a record is looked into; the record comes before the restore', async () => {
  const key = 'config/env-2026-11-23.tar.gz'
  const archive = readFileSync(path.join(workshop.backups, 'config/home-dev-2026-11-24.tar.gz'))
  await workshop.r2.put(cacheBucket, key, archive)
  const run = await find('todo*', '--only', 'env', '--stores', 'r2')
  expect(run.code).toBe(0)
  expect(run.stdout).toContain('comfyume-backup verify --only env --adopt\n')
})

test('much is read from object storage only after a yes', async () => {
  const object = workshop.r2.object(cacheBucket, 'config/env-2026-11-24.tar.gz') as { bytes: number }
  const { bytes } = object
  await workshop.r2.put(cacheBucket, 'config/ufw-2026-11-23.tar.gz', Buffer.from('x'))
  const large = workshop.r2.object(cacheBucket, 'config/ufw-2026-11-23.tar.gz') as { bytes: number }
  large.bytes = 3 * 2 ** 30
  expect(bytes).toBeGreaterThan(0)
  const dry = await find('a', '--stores', 'r2', '--only', 'ufw', '--dry-run')
  expect(dry.code).toBe(0)
  expect(dry.stdout).toContain('1 from Cloudflare R2 (3.0 GB); about 1 min 4 s at 50 MB/s')
  const run = await find('a', '--stores', 'r2', '--only', 'ufw')
  expect(run.code).toBe(2)
  expect(run.stderr).toContain(
    '3.0 GB would be read from object storage: narrow it with --only, --at or --since',
  )
})

test.each([
  [['--only', 'containers'], 'only items made of files can be looked into'],
  [['--only', 'nothing'], '--only: nothing: not known here'],
  [['--since', 'yesterday'], '--since takes a day or an hour in UTC'],
  [['--stores', 'git'], '--stores: archives are in'],
  [['--html', 'x'], '--find and --html do not go together'],
])('%j is no search', async (args, said) => {
  const run = await find('a', ...args)
  expect([run.code, run.stderr]).toEqual([2, expect.stringContaining(said)])
})

test.each([['/'], ['[z-a]']])('%s is no pattern', async (pattern) => {
  expect((await find(pattern)).code).toBe(2)
})
