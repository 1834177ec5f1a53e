import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { takeLocks } from '../../lib/backup/locks.ts'
import { buildVerda, reportOf, settle, type Verda } from '../scripts/verda.ts'
import { buildWorkshop, modelsBucket, type Workshop } from '../scripts/workshop.ts'
import { plant } from './fault-at.mjs'
import { type FaultAt, runScript } from './run.ts'
import { sha256 } from './sources.ts'

/** Bugs that the fault campaign found, each with its seed. */

let verda: Verda
beforeEach(() => {
  verda = buildVerda()
})
afterEach(() => verda.dispose())

const run = (command: string, args: string[], faultAt?: FaultAt, env: Record<string, string> = {}) =>
  runScript(command, args, {
    env: verda.environment(env) as Record<string, string>,
    ...(faultAt && { faultAt }),
  })

/**
 * Backs up env with EIO at one call after another, from the writing of its partial on.
 * `before` runs each time, `after` after each failure.
 */
async function failingAtEach(before: () => unknown, after: (what: string) => void) {
  let failed = 0
  for (let at = 10, over = false; !over; at++) {
    await before()
    plant({ below: [path.join(verda.cache, 'config')], at, how: 'EIO' })
    const { code } = await verda.run().finally(() => plant({ below: [] }))
    over = code === 0 && at > 20
    failed += code
    after(`EIO at call ${at}`)
  }
  expect(failed).toBeGreaterThan(4)
}

const empty = () => rmSync(verda.cache, { recursive: true, force: true })

/** Seed 3, fault 43. */
it('a share that fails just after a new archive got its name leaves no archive without its record', async () => {
  await failingAtEach(empty, (what) => {
    const archives = verda.names().filter((name) => name.endsWith('.tar.gz'))
    expect(
      archives.filter((name) => !verda.names().includes(`${name}.sha256`)),
      what,
    ).toEqual([])
    expect(verda.checkByHand(), what).toEqual([])
  })
})

it('a share that fails while the day’s archive is replaced leaves one that fits its record', async () => {
  let content = 0
  const before = async () => {
    empty()
    await verda.run({ now: '2026-11-24T09:00:00Z' })
    verda.write('home/dev/comfyume-v1/.env', `PASSWORD=number-${content++}-of-user001\n`, 0o600)
    settle()
  }
  await failingAtEach(before, (what) => {
    expect(verda.names(), what).toContain('env-2026-11-24.tar.gz.sha256')
    expect(verda.checkByHand(), what).toEqual([])
  })
})

/** Seed 3, fault 12. */
it('a note of what was verified that could not be written, or whose writer was killed, is not left lying about', async () => {
  await verda.run()
  const state = path.join(verda.folder, 'state')
  const notes = () => readdirSync(path.join(state, 'comfyume-backup/verify'))
  const verify = (how?: string) =>
    run('verify', ['--json', '--store', 'sfs'], how ? { below: [state], at: 3, how } : undefined)
  const failed = await verify('ENOSPC')
  expect([failed.code, failed.stderr]).toEqual([0, expect.stringContaining('cannot be remembered')])
  expect(notes()).toEqual([])
  await verify()
  const [note] = notes() as [string]
  writeFileSync(path.join(state, 'comfyume-backup/verify', `${note}.4194305`), 'half of')
  await verify()
  expect(notes()).toEqual([note])
  expect(existsSync(path.join(state, 'comfyume-backup/verify', note))).toBe(true)
})

const hasSqlite = spawnSync('sqlite3', ['--version']).status === 0

/** Seed 7, fault 131. */
it.skipIf(!hasSqlite)(
  'the folder for copies of databases of a killed run is removed by the next, that of a live one is not',
  async () => {
    const stage = (name: string) => path.join(verda.tmp, `comfyume-stage-${name}`)
    for (const name of ['killed', 'live']) {
      mkdirSync(stage(name))
      writeFileSync(path.join(stage(name), 'database'), 'a copy')
    }
    const live = spawn('flock', [stage('live'), 'sh', '-c', 'echo held; exec sleep 1000'])
    try {
      await once(live.stdout, 'data')
      expect((await verda.cron(['--only', 'env'])).code).toBe(0)
      const left = readdirSync(verda.tmp).filter((name) => !name.startsWith('tsx-'))
      expect(left).toEqual(['comfyume-stage-live'])
    } finally {
      live.kill()
    }
  },
)

/** Seed 101, faults 314 and 397: a clone of the credentials' repository was left, with the credentials. */
it('what a killed run left of the credentials in the folder for temporary files goes with the next run', async () => {
  const workshop = await buildWorkshop()
  try {
    const { tmp } = workshop.verda
    const left = (pid: number) => path.join(tmp, `comfyume-credentials-${pid}@1-aB3dE6`)
    const other = path.join(tmp, 'comfyume-credentials-of-somebody')
    for (const folder of [left(4_194_305), left(process.pid), other]) {
      mkdirSync(path.join(folder, 'clone'), { recursive: true })
      writeFileSync(path.join(folder, 'clone/.env'), 'ADMIN_PASSWORD=x')
    }
    expect((await workshop.backupMello(['--only', 'credentials'])).code).toBe(0)
    expect(readdirSync(tmp).filter((name) => name.startsWith('comfyume-'))).toEqual([path.basename(other)])
  } finally {
    workshop.dispose()
  }
})

/** Seed 101, fault 563: exit code 13 after a report that said OK. */
it('a run whose locks were lost, because their holder was killed, still ends as its report says', async () => {
  const locks = await takeLocks([{ item: 'env', name: 'env', store: verda.folder }], 'backup-cron')
  const holders = () => spawnSync('pgrep', ['-P', String(process.pid), '-f', 'deadline=']).stdout.toString()
  const [holder] = holders().trim().split('\n')
  process.kill(Number(holder), 'SIGKILL')
  await new Promise((ended) => setTimeout(ended, 200))
  await locks.release()
})

describe('a model whose run was killed before its record', () => {
  const key = 'checkpoints/base.safetensors'
  let workshop: Workshop
  beforeEach(async () => {
    workshop = await buildWorkshop()
    // Otherwise two models would be uploading at once.
    rmSync(path.join(workshop.verda.root, 'mnt/sfs/models/loras'), { recursive: true })
    // Two probes of conditional writes come first.
    let killed = () => {}
    workshop.r2.fail({ operation: 'PutObject', after: 2, afterwards: () => killed() })
    const killAfter = new Promise<void>((resolve) => {
      killed = resolve
    })
    const args = ['--only', 'models']
    const run = await workshop.verda.script('backup-verda', args, { killAfter })
    expect([run.signal, workshop.r2.keys(modelsBucket)]).toEqual([
      'SIGKILL',
      [expect.stringContaining('probe'), key],
    ])
  })
  afterEach(() => workshop.dispose())

  const file = async (wanted = key) => {
    const { items } = reportOf(await workshop.backupVerda(['--only', 'models', '--json']))
    return items[0]?.stores.r2?.files?.find((one) => one.key === wanted)
  }

  it('gets its record by the next run', async () => {
    expect(await file()).toMatchObject({ status: 'unchanged', sha256: sha256('base model\n') })
    expect(String(await workshop.r2.content(modelsBucket, `${key}.sha256`))).toContain(sha256('base model\n'))
  })

  it('is left alone when it is not what the model is, which is stored beside it', async () => {
    writeFileSync(workshop.r2.object(modelsBucket, key)?.files[0]?.file as string, 'base mode1\n')
    const beside = 'checkpoints/base-2026-11-24.safetensors'
    expect(await file(beside)).toMatchObject({ status: 'stored', sha256: sha256('base model\n') })
    expect(String(await workshop.r2.content(modelsBucket, `${beside}.sha256`))).toContain(
      `# original: ${key}`,
    )
    expect(String(await workshop.r2.content(modelsBucket, key))).toBe('base mode1\n')
    expect(workshop.r2.keys(modelsBucket)).not.toContain(`${key}.sha256`)
  })

  it('counts by its size when another hand brought it there', async () => {
    await workshop.r2.put(modelsBucket, key, Buffer.from('old mode1.\n'))
    expect(await file()).toMatchObject({ status: 'unchanged' })
  })
})
