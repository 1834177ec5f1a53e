import { createHash } from 'node:crypto'
import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { settle } from './verda.ts'
import {
  buildWorkshop,
  cacheBucket,
  containersBucket,
  image,
  modelsBucket,
  reportIn,
  type Workshop,
} from './workshop.ts'

let workshop: Workshop
afterEach(() => workshop.dispose())

const day = '2026-11-24'
/** The toolkit itself: without it no shutdown is safe. */
function writeToolkit(): void {
  workshop.verda.write('opt/comfyume-backup/package.json', '{ "name": "comfyume-backup" }\n')
  workshop.verda.write('opt/comfyume-backup/bin/node', 'node\n', 0o755)
  settle()
}

const later = { BACKUP_NOW: '2026-11-24T15:30:00Z' }

it('brings everything to Mello and R2 under the names of the facts, and says that it is safe to shut down', async () => {
  workshop = await buildWorkshop()
  writeToolkit()
  const run = await workshop.backupVerda()
  expect(run.stderr).toBe('')
  expect(run.stdout.trimEnd().split('\n').at(-1)).toBe('SAFE TO SHUT DOWN')
  expect(run.code).toBe(0)

  const config = ['tailscale', 'ssh-host-keys', 'fail2ban', 'ufw', 'env', 'home-dev', 'root-home']
  const images = ['frontend', 'worker', 'queue-manager', 'nginx', 'admin'].map(
    (name) => `comfyume-${name}-${day}.tar.gz`,
  )
  for (const name of config) {
    const key = `config/${name}-${day}.tar.gz`
    const stored = await workshop.r2.content(cacheBucket, key)
    expect(stored, key).toEqual(readFileSync(path.join(workshop.backups, key)))
    expect((await workshop.r2.content(cacheBucket, `${key}.sha256`))?.toString()).toContain(
      sha256(stored as Buffer),
    )
  }
  for (const name of images) {
    expect(workshop.r2.keys(containersBucket)).toContain(name)
    expect(workshop.onMello('')).toContain(name)
  }
  expect(workshop.r2.keys(modelsBucket).filter((key) => !key.startsWith('.'))).toEqual([
    'checkpoints/base.safetensors',
    'checkpoints/base.safetensors.sha256',
    'loras/style.safetensors',
    'loras/style.safetensors.sha256',
  ])
  expect(workshop.onMello('')).not.toContain('checkpoints')
  expect(workshop.r2.keys(cacheBucket)).toContain('runs/backup-verda-2026-11-24-10-00-00.json')
  expect(workshop.onMello('runs')).toEqual(['backup-verda-2026-11-24-10-00-00.json'])
})

it('writes nothing but the report of the run when nothing changed', async () => {
  workshop = await buildWorkshop()
  writeToolkit()
  await workshop.backupVerda()
  const before = workshop.written().length
  const report = reportIn(await workshop.backupVerda(['--json'], later))
  expect(workshop.written().slice(before)).toEqual([
    `${cacheBucket}/runs/backup-verda-2026-11-24-15-30-00.json`,
  ])
  const statuses = report.items.map(({ status }: { status: string }) => status)
  expect(new Set(statuses)).toEqual(new Set(['unchanged', 'skipped']))
  expect(report.safeToShutDown).toBe(true)
})

it('gives a second content of the day the hour, a third the minute, and overwrites nothing', async () => {
  workshop = await buildWorkshop()
  const contents: string[] = []
  for (const now of ['2026-11-24T10:00:00Z', '2026-11-24T15:30:00Z', '2026-11-24T15:45:00Z']) {
    workshop.verda.write('etc/ufw/user.rules', `rules at ${now}\n`)
    settle()
    const run = await workshop.backupVerda(['--only', 'ufw'], { BACKUP_NOW: now })
    expect(run.code).toBe(0)
    contents.push(now)
  }
  const names = [`ufw-${day}`, `ufw-${day}-15`, `ufw-${day}-15-45`].map((name) => `config/${name}.tar.gz`)
  for (const name of names) {
    expect(workshop.r2.keys(cacheBucket)).toContain(name)
    expect(workshop.onMello()).toContain(path.basename(name))
  }
  expect(new Set(workshop.written()).size).toBe(workshop.written().length)
})

it('law 1: asks the server for nothing but listing, looking, reading and conditional creation', async () => {
  workshop = await buildWorkshop()
  await workshop.backupVerda()
  workshop.verda.write('etc/ufw/user.rules', 'other rules\n')
  await workshop.backupVerda([], later)
  const { log } = workshop.r2
  expect(new Set(log.map(({ method }) => method))).toEqual(new Set(['GET', 'HEAD', 'PUT']))
  for (const { operation, headers } of log) {
    if (operation === 'PutObject') expect(headers['if-none-match']).toBe('*')
  }
  const successful = workshop.written()
  expect(new Set(successful).size).toBe(successful.length)
})

it('limits itself to the stores of --to, and says nothing of a shutdown', async () => {
  workshop = await buildWorkshop()
  const run = await workshop.backupVerda(['--to', 'mello'])
  expect(run.code).toBe(0)
  expect(workshop.r2.log).toEqual([])
  expect(run.stdout).toContain('skipped models: goes to r2 alone, which --to leaves out')
  expect(run.stdout).not.toContain('SHUT DOWN')
  expect(run.stdout).toMatch(/ OK backup-verda: .*\n$/)
})

it('--quick leaves models and images out, and does not call that safe', async () => {
  workshop = await buildWorkshop()
  const run = await workshop.backupVerda(['--quick', '--json'])
  expect(run.code).toBe(0)
  expect(run.stderr).toMatch(/ OK backup-verda: .*\n$/)
  expect(reportIn(run)).toMatchObject({
    safeToShutDown: false,
    againstShutdown: expect.arrayContaining([
      'the run was asked for a part',
      expect.stringMatching(/^not looked at.*models/),
    ]),
  })
  expect(workshop.r2.keys(containersBucket)).toEqual([])
})

it('sends to Hetzner what goes to R2, once it is set up', async () => {
  workshop = await buildWorkshop({ hetzner: true })
  const run = await workshop.backupVerda(['--only', 'ufw,models', '--to', 'r2'])
  expect(run.code).toBe(0)
  for (const bucket of [cacheBucket, modelsBucket]) {
    expect(workshop.servers.hetzner?.keys(bucket)).toEqual(workshop.r2.keys(bucket))
  }
})

it('law 7: when one object store fails, the other and Mello get everything; the next run gives it its copies', async () => {
  workshop = await buildWorkshop({ hetzner: true })
  const wrong = { HETZNER_SECRET_ACCESS_KEY: 'wrong' }
  const failed = await workshop.backupVerda(['--json'], wrong)
  expect(failed.code).toBe(1)
  const report = reportIn(failed)
  expect(report.safeToShutDown).toBe(false)
  expect(failed.stderr).toMatch(
    /FAILED backup-verda: 13 stored, 0 unchanged, 3 skipped, 13 failed in hetzner \(tailscale, /,
  )
  expect(failed.stderr).toContain('models -> r2: 2 files stored')
  for (const { item, status, stores } of report.items) {
    if (status === 'skipped') continue
    expect(status, item).toBe('failed')
    expect(stores.hetzner.error).toContain('HETZNER_SECRET_ACCESS_KEY')
    expect(stores.r2.status).toBe('stored')
    if (stores.mello) expect(stores.mello.status).toBe('stored')
  }
  const mended = await workshop.backupVerda([], later)
  expect(mended.stdout).toContain('SAFE TO SHUT DOWN')
  expect(mended.code).toBe(0)
  const ofRuns = (key: string) => !key.startsWith('runs/')
  for (const bucket of [cacheBucket, containersBucket, modelsBucket]) {
    const names = (keys: string[] = []) => keys.filter(ofRuns).length
    expect(names(workshop.servers.hetzner?.keys(bucket))).toBe(names(workshop.r2.keys(bucket)))
  }
})

it('fails a missing image alone', async () => {
  workshop = await buildWorkshop()
  rmSync(path.join(workshop.verda.folder, 'images/comfyume-worker'), { recursive: true })
  const run = await workshop.backupVerda(['--only', 'containers'])
  expect(run.code).toBe(1)
  expect(run.stdout).toContain('there is no image comfyume-worker:latest on verda')
  expect(run.stdout).toContain(
    'FAILED backup-verda: 4 stored, 0 unchanged, 0 skipped, 1 failed (comfyume-worker)',
  )
})

it('refuses a saved image that lacks a layer', async () => {
  workshop = await buildWorkshop()
  const worker = path.join(workshop.verda.folder, 'images/comfyume-worker')
  rmSync(path.join(worker, 'layer.tar'))
  const run = await workshop.backupVerda(['--only', 'comfyume-worker', '--to', 'mello'])
  expect(run.code).toBe(1)
  expect(run.stdout).toContain('the saved image is incomplete: 1 of 2 parts are missing')
  expect(workshop.onMello('')).not.toContain(`comfyume-worker-${day}.tar.gz`)
})

it.each(['nginx:alpine', 'docker.io/library/python:3.12'])(
  'never backs up the public image %s',
  async (reference) => {
    workshop = await buildWorkshop()
    const run = await workshop.backupVerda(['--only', 'comfyume-nginx'], {
      CONTAINER_IMAGES: `comfyume-nginx=${reference}`,
    })
    expect(run.code).toBe(2)
    expect(run.stderr).toContain(`gives comfyume-nginx the public image ${reference}`)
  },
)

it('stores an image again when its content is another', async () => {
  workshop = await buildWorkshop()
  await workshop.backupVerda(['--only', 'comfyume-admin'])
  image(workshop.verda.folder, 'comfyume-admin', 'another layer\n')
  await workshop.backupVerda(['--only', 'comfyume-admin'], later)
  expect(workshop.r2.keys(containersBucket)).toContain(`comfyume-admin-${day}-15.tar.gz`)
})

it('stores a model of the same name and another size beside what is there, and takes one without a record for granted', async () => {
  workshop = await buildWorkshop()
  await workshop.r2.put(modelsBucket, 'checkpoints/base.safetensors', Buffer.from("somebody else's model"))
  await workshop.r2.put(modelsBucket, 'loras/style.safetensors', Buffer.from('style\n'))
  workshop.writeModel('upscale_models/other.pth', 'x')
  const run = await workshop.backupVerda(['--only', 'models'])
  expect(run.code, run.stderr).toBe(0)
  const beside = `checkpoints/base-${day}.safetensors`
  expect(await workshop.r2.content(modelsBucket, beside)).toEqual(
    readFileSync(path.join(workshop.verda.root, 'mnt/sfs/models/checkpoints/base.safetensors')),
  )
  expect((await workshop.r2.content(modelsBucket, `${beside}.sha256`))?.toString()).toContain(
    '# original: checkpoints/base.safetensors\n',
  )
  expect(run.stdout).toContain('no rule covers upscale_models')
  expect((await workshop.r2.content(modelsBucket, 'checkpoints/base.safetensors'))?.toString()).toContain(
    'somebody',
  )
  expect(workshop.r2.keys(modelsBucket)).not.toContain('loras/style.safetensors.sha256')
})

it('takes the next name when somebody else took this one meanwhile', async () => {
  workshop = await buildWorkshop()
  const key = `config/ufw-${day}.tar.gz`
  workshop.r2.fail({
    operation: 'PutObject',
    after: 1,
    meanwhile: () => workshop.r2.put(cacheBucket, key, Buffer.from('theirs')),
  })
  const run = await workshop.backupVerda(['--only', 'ufw', '--to', 'r2'])
  expect(run.stdout).toContain(`stored ufw -> r2: config/ufw-${day}-10.tar.gz`)
  expect(run.code).toBe(0)
  expect((await workshop.r2.content(cacheBucket, key))?.toString()).toBe('theirs')
})

it('law 3: an archive without a record does not count: the next run stores the content again', async () => {
  workshop = await buildWorkshop()
  await workshop.backupVerda(['--only', 'ufw'])
  rmSync(path.join(workshop.backups, `config/ufw-${day}.tar.gz.sha256`))
  const run = await workshop.backupVerda(['--only', 'ufw'], later)
  expect(run.stdout).toContain(`stored ufw -> mello: config/ufw-${day}-15.tar.gz`)
  expect(run.stdout).toContain(`unchanged ufw -> r2: config/ufw-${day}.tar.gz`)
})

it('tells of an archive whose record could not be written', async () => {
  workshop = await buildWorkshop()
  workshop.r2.fail({ operation: 'PutObject', how: 403, code: 'AccessDenied', after: 3, times: 1 })
  const run = await workshop.backupVerda(['--only', 'ufw', '--to', 'r2'])
  expect(run.code).toBe(1)
  expect(run.stdout).toContain('is stored whole, but its record could not be')
})

it.each([
  ['an endpoint without .eu', { R2_ENDPOINT: 'https://abc.r2.cloudflarestorage.com' }, 2, 'lacks .eu'],
  ['no keys', { R2_ACCESS_KEY_ID: '', R2_SECRET_ACCESS_KEY: '' }, 2, 'R2_ACCESS_KEY_ID is missing'],
  ['a wrong key', { R2_ACCESS_KEY_ID: 'AKWRONG' }, 1, 'check R2_ACCESS_KEY_ID'],
  ['a wrong secret', { R2_SECRET_ACCESS_KEY: 'wrong' }, 1, 'check R2_SECRET_ACCESS_KEY'],
  ['a wrong bucket', { R2_CACHE_BUCKET: 'no-such-bucket' }, 1, 'There is no bucket no-such-bucket'],
])('says what to do about %s', async (_what, env, code, words) => {
  workshop = await buildWorkshop()
  const run = await workshop.backupVerda(['--only', 'ufw'], env as Record<string, string>)
  expect(run.code).toBe(code)
  expect(run.stdout + run.stderr).toContain(words)
  expect(run.stdout + run.stderr).not.toMatch(/ {4}at |wrong-secret|in-process-secret/)
})

it('a staging run writes below staging/ and leaves production alone', async () => {
  workshop = await buildWorkshop()
  await workshop.backupVerda(['--only', 'ufw,models'], { ENVIRONMENT: 'staging' })
  for (const bucket of [cacheBucket, modelsBucket]) {
    const keys = workshop.r2.keys(bucket).filter((key) => !key.startsWith('.'))
    expect(keys.every((key) => key.startsWith('staging/'))).toBe(true)
    expect(keys.length).toBeGreaterThan(1)
  }
})

it('an unreachable Verda fails every item with one clear reason', async () => {
  workshop = await buildWorkshop()
  writeFileSync(path.join(workshop.verda.folder, 'nothing'), '')
  const run = await workshop.backupVerda(['--json'], { VERDA_SSH: 'dev@127.0.0.1.invalid' })
  expect(run.code).toBe(1)
  const reasons = new Set(reportIn(run).items.map(({ reason }: { reason: string }) => reason))
  expect(reasons.size).toBe(1)
  expect([...reasons][0]).toContain('verda')
})

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

describe('it is not safe to shut down', () => {
  const verdict = async (env: Record<string, string> = {}) =>
    (await workshop.backupVerda([], env)).stdout.trimEnd().split('\n').at(-1)

  it('when something changed since the run read it', async () => {
    workshop = await buildWorkshop()
    writeToolkit()
    // The homes are stored before the engine is first used.
    const engine = path.join(workshop.verda.folder, 'engine')
    const home = path.join(workshop.verda.root, 'home/dev')
    const script = readFileSync(engine, 'utf8')
    writeFileSync(engine, script.replace('\n', `\ndate >${home}/written-meanwhile\n`))
    expect(await verdict()).toBe(
      'NOT SAFE TO SHUT DOWN: home-dev as it is now on Verda is not in mello and r2: comfyume-backup backup-verda',
    )
    writeFileSync(engine, script)
    expect(await verdict(later)).toBe('SAFE TO SHUT DOWN')
  })

  it("while the users' files are on Verda and in no store", async () => {
    workshop = await buildWorkshop()
    writeToolkit()
    const env = { USER_DATA_HOST: 'verda', MELLO_PROJECT_DIR: '/home/dev/comfyume-v1' }
    for (const folder of ['workflows', 'inputs', 'user_data', 'outputs'])
      workshop.verda.write(`home/dev/comfyume-v1/data/${folder}/user001/file`, `${folder}\n`)
    settle()
    expect(await verdict(env)).toBe(
      'NOT SAFE TO SHUT DOWN: user-data as it is now on Verda is not in r2: comfyume-backup backup-mello; ' +
        'user-outputs as it is now on Verda is not in r2: comfyume-backup backup-mello',
    )
    await workshop.backupMello(['--only', 'user-data'], env)
    expect(await verdict({ ...env, ...later })).toBe('SAFE TO SHUT DOWN')
    symlinkSync('/elsewhere', path.join(workshop.verda.root, 'home/dev/comfyume-v1/data/custom_nodes'))
    await workshop.backupMello(['--only', 'user-data'], { ...env, ...later })
    expect(await verdict({ ...env, ...later })).toMatch(
      /^NOT SAFE TO SHUT DOWN: user-data: \/home\/dev\/comfyume-v1\/data\/custom_nodes is a link: what it leads to is left out/,
    )
  })

  it('when the toolkit is not on Verda', async () => {
    workshop = await buildWorkshop()
    expect(await verdict()).toMatch(/^NOT SAFE TO SHUT DOWN: scripts was skipped: /)
  })
})

it('finds nothing changed in a minute in which every name is taken', async () => {
  workshop = await buildWorkshop()
  const run = (rules: string) => {
    workshop.verda.write('etc/ufw/user.rules', rules)
    settle()
    return workshop.backupVerda(['--only', 'ufw', '--to', 'r2'])
  }
  for (const rules of ['first\n', 'second\n', 'third\n']) expect((await run(rules)).code).toBe(0)
  const again = await workshop.backupVerda(['--only', 'ufw', '--to', 'r2', '--json'])
  expect(again.code).toBe(0)
  expect(reportIn(again).items).toMatchObject([{ status: 'unchanged' }])
  expect((await run('fourth\n')).stdout).toContain('every name for this minute is taken')
})
