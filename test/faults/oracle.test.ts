import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkRestored } from './oracle/restored.ts'
import { type Oracle, oracleOf } from './oracle.ts'
import type { Finished } from './run.ts'
import { sha256 } from './sources.ts'
import { buildWorld, type World } from './world.ts'

/** The oracle can fail: for each clause it names the planted violation and nothing else. */

const [first, now] = ['2026-11-23T10:00:00.000Z', '2026-11-24T10:00:00.000Z']
const asked = { env: ['sfs'], ufw: ['sfs'] }
const usual = process.env.TMPDIR
let folder: string
let world: World
let oracle: Oracle
let honest: Finished

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'oracle-'))
  world = await buildWorld({ folder, mounts: false })
  world.witness(first)
  world.witness(now)
  await world.run('backup-cron', ['--json', '--only', 'env'], { env: { BACKUP_NOW: first } })
  honest = await world.run('backup-cron', ['--json', '--only', 'env,ufw'], { env: { BACKUP_NOW: now } })
  const args = ['--json', '--only', 'env,models']
  const verda = await world.run('backup-verda', args, { env: { BACKUP_NOW: now } })
  expect([honest.code, verda.code], verda.stderr).toEqual([0, 0])
  oracle = await oracleOf(world)
})
afterAll(async () => {
  await world.dispose()
  rmSync(folder, { recursive: true, force: true })
  if (usual === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = usual
})

const judge = (run: Finished = honest, whole = true) => oracle.judge({ runs: [run], now, asked, whole })

/** What the oracle reports after a change to a folder, which is then undone. */
async function saidAfter(root: string, change: () => void): Promise<string[]> {
  const copy = `${root}.copy`
  copyOf(root, copy)
  try {
    change()
    return await judge()
  } finally {
    rmSync(root, { recursive: true })
    copyOf(copy, root)
    rmSync(copy, { recursive: true })
    await oracle.accept()
  }
}

/** Keeps nanoseconds, which Node's own copy does not. */
const copyOf = (from: string, to: string) => execFileSync('cp', ['-a', from, to])

const archive = 'config/env-2026-11-24.tar.gz'
const sfs = (key: string) => path.join(world.verda.cache, key)
const mello = (key: string) => path.join(world.disks.mello, key)
const inCache = (key: string) => [world.buckets[0] as string, key] as const

it('finds nothing where nothing is wrong', async () => {
  expect(await judge()).toEqual([])
})

describe('names what was lost or touched', () => {
  it('a copy on Mello that is gone', async () => {
    const said = await saidAfter(world.disks.mello, () => rmSync(mello(`${archive}.sha256`)))
    expect(said).toEqual([`history: mello ${archive}.sha256 was there and is gone`])
  })

  it('a copy on Mello that was overwritten', async () => {
    const said = await saidAfter(world.disks.mello, () => appendFileSync(mello(archive), 'x'))
    expect(said).toContain(`history: mello ${archive} was overwritten`)
    expect(said).toContainEqual(expect.stringMatching(`^archive: mello ${archive}: it has`))
  })

  it('an object that was overwritten', async () => {
    const [bucket, key] = inCache(`${archive}.sha256`)
    const content = (await world.r2.content(bucket, key)) as Buffer
    await world.r2.put(bucket, key, Buffer.concat([content, Buffer.from('# more: 1\n')]))
    const said = await judge()
    await world.r2.put(bucket, key, content)
    await oracle.accept()
    expect(said).toEqual([`history: r2 ${bucket}/${key} was overwritten`])
  })

  it('a copy on the share that the rule keeps', async () => {
    const said = await saidAfter(world.verda.cache, () => {
      for (const end of ['', '.sha256']) rmSync(sfs(`config/env-2026-11-23.tar.gz${end}`))
    })
    expect(said).toEqual(['history: sfs config/env-2026-11-23.tar.gz was good, is to be kept, and is gone'])
  })

  it('the last good copy on the share', async () => {
    const said = await saidAfter(world.verda.cache, () => {
      for (const end of ['', '.sha256']) rmSync(sfs(`config/ufw-2026-11-24.tar.gz${end}`))
    })
    expect(said).toContain('history: sfs config/ufw-2026-11-24.tar.gz is gone, and ufw has no good copy left')
  })
})

describe('names an archive that is none', () => {
  it('a bit that turned under a record', async () => {
    const said = await saidAfter(world.verda.cache, () => {
      const content = readFileSync(sfs(archive))
      content[100] = (content[100] as number) ^ 1
      writeFileSync(sfs(archive), content)
    })
    expect(said).toContain(`archive: sfs ${archive}: its content is not what its record says`)
    expect(said).toContain(`history: sfs ${archive} was good and fits no record any more`)
    expect(said).toContainEqual(expect.stringMatching(/^report: .* says (stored|unchanged) of env in sfs/))
  })

  it('a whole archive, with a record that fits, of what the sources never were', async () => {
    const said = await saidAfter(world.verda.cache, () => {
      const content = readFileSync(sfs('config/ufw-2026-11-24.tar.gz'))
      writeFileSync(sfs(archive), content)
      const record = readFileSync(sfs(`${archive}.sha256`), 'utf8')
      writeFileSync(
        sfs(`${archive}.sha256`),
        record
          .replace(/^# bytes: .*$/m, `# bytes: ${content.length}`)
          .replace(/^[0-9a-f]{64}/m, sha256(content)),
      )
    })
    expect(said).toContain(`archive: sfs ${archive}: it holds nothing of env`)
  })

  it('a model that is another one', async () => {
    const model = [world.buckets[1] as string, 'checkpoints/base.safetensors'] as const
    const [content, record] = await Promise.all([
      world.r2.content(...model),
      world.r2.content(model[0], `${model[1]}.sha256`),
    ])
    const other = Buffer.from('other model')
    const text = String(record)
      .replace(/[0-9a-f]{64}/, sha256(other))
      .replace(/bytes: \d+/, `bytes: ${other.length}`)
    await world.r2.put(...model, other)
    await world.r2.put(model[0], `${model[1]}.sha256`, Buffer.from(text))
    const said = await judge()
    await world.r2.put(...model, content as Buffer)
    await world.r2.put(model[0], `${model[1]}.sha256`, record as Buffer)
    await oracle.accept()
    expect(said).toContain(`archive: r2 ${model.join('/')} is not the model that it is named for`)
  })
})

describe('names a report that is not true', () => {
  const told = (change: (report: ReturnType<typeof JSON.parse>) => void, more: Partial<Finished> = {}) => {
    const report = JSON.parse(honest.stdout)
    change(report)
    return judge({ ...honest, stdout: JSON.stringify(report), ...more })
  }
  const cases: [string, Parameters<typeof told>, RegExp][] = [
    [
      'a key that is not there',
      [(r) => (r.items[0].stores.sfs.key = 'config/env-2020-01-01.tar.gz')],
      /there is no backup at config\/env-2020/,
    ],
    [
      'another digest',
      [(r) => (r.items[0].stores.sfs.sha256 = sha256('other'))],
      /is another one than it says/,
    ],
    ['another size', [(r) => (r.items[0].stores.sfs.bytes = 7)], /bytes, and not 7/],
    ['an item that is missing', [(r) => r.items.pop()], /is ok, and says nothing of (env|ufw)/],
    ['a store that is missing', [(r) => (r.items[0].stores = {})], /is ok, and (env|ufw) is not in sfs/],
    ['ok though something failed', [(r) => (r.items[0].status = 'failed')], /says ok, and names what failed/],
    ['an exit code that is not its own', [(r) => (r.ok = false)], /ended with 0, and its report means 1/],
    ['a shutdown that is not safe', [(r) => (r.safeToShutDown = true)], /says that a shutdown is safe/],
    ['an exit code of 0 without a report', [() => {}, { stdout: '' }], /printed no report/],
    ['a failure without a word', [() => {}, { stdout: '', stderr: '', code: 1 }], /failed without a word/],
    ['a run that hangs', [() => {}, { hung: true, signal: 'SIGKILL', code: null }], /was still running/],
    ['a stack', [() => {}, { stderr: 'Error: x\n    at f (/a/b.ts:1:2)\n' }], /died with a stack/],
    ['an exit code that nothing has', [() => {}, { code: 2 }], /ended with 2/],
  ]
  it.each(cases)('%s', async (_, planted, expected) => {
    expect((await told(...planted)).join('\n')).toMatch(expected)
  })
})

describe('names what is left over', () => {
  it.each([
    ['sfs', 'config/.env-2026-11-24.tar.gz.host@1@2@3.partial'],
    ['sfs', `${archive}.sha256.next`],
    ['sfs', 'config/env-2026-11-22.tar.gz'],
    ['mello', 'config/.probe-XdW2a1'],
  ] as const)('on %s %s', async (store, key) => {
    const root = store === 'sfs' ? world.verda.cache : world.disks.mello
    const said = await saidAfter(root, () => writeFileSync(path.join(root, key), 'half'))
    expect(said.join('\n')).toContain(`left over: ${store} ${key}`)
  })

  it('in the folder for temporary files', async () => {
    const said = await saidAfter(world.tmp, () => writeFileSync(path.join(world.tmp, 'comfyume-x'), 'half'))
    expect(said).toEqual([`left over: ${world.tmp}/comfyume-x`])
  })

  it('a process', async () => {
    const child = spawn('sleep', ['30'], { env: { ...process.env, HOME: world.folder } })
    const said = await judge()
    child.kill()
    expect(said.join('\n')).toMatch(/^left over: process \d+ sleep 30$/m)
  })
})

it('names what an object store must not be asked', async () => {
  const [bucket, key] = inCache(archive)
  const logged = world.r2.log.length
  const put = world.r2.log.find(({ operation }) => operation === 'PutObject') as (typeof world.r2.log)[number]
  world.r2.log.push({ ...put, bucket, key, status: 200 }, { ...put, operation: 'DELETE object', bucket, key })
  const said = await judge()
  world.r2.log.length = logged
  expect(said).toEqual([
    `requests: DELETE object ${bucket}/${key}`,
    `requests: ${bucket}/${key} was written twice`,
  ])
})

it('names what a restore brought back wrong, or did not take the newest of, or left half done', () => {
  const root = path.join(folder, 'restored')
  copyOf(world.verda.root, root)
  const run = (time: string) => ({
    ...honest,
    stdout: JSON.stringify({
      items: [{ item: 'env', status: 'restored', source: 'sfs', key: archive, time }],
    }),
  })
  expect(checkRestored(world, oracle, run(now), root)).toEqual([])
  expect(checkRestored(world, oracle, run(first), root)).toEqual([
    `restore: env of ${first} from sfs, which has one of ${now}`,
  ])
  mkdirSync(path.join(root, 'var/lib/comfyume-backup'), { recursive: true })
  writeFileSync(path.join(root, 'var/lib/comfyume-backup/restoring'), 'env\n')
  writeFileSync(path.join(root, '.comfyume-restore-x'), '')
  appendFileSync(path.join(root, 'home/dev/comfyume-v1/.env'), 'x')
  expect(checkRestored(world, oracle, run(now), root)).toEqual([
    expect.stringMatching(
      `^restore: env of ${now} from sfs ${archive} is not what it was then: \\+ home/dev/comfyume-v1/.env f `,
    ),
    'restore: the marker is still there',
    'restore: left over: .comfyume-restore-x',
  ])
})
