import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { buildVerda, reportOf, type Verda } from '../scripts/verda.ts'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { type OwnRoot, openOwnRoot } from './own-root.ts'
import { type Engine, importImage, podman } from './podman.ts'
import { type RestoreRunOptions, runRestore } from './run-restore.ts'
import { bucketNames, storeSettings } from './two-machines.ts'

/** Images from the share and a real MinIO into a real podman, by the real restore to `/`. */

const references = {
  'comfyume-frontend': 'localhost/comfyume-frontend:v0.11.0',
  'comfyume-worker': 'registry.example/team/comfyume-worker:v2',
}
const names = Object.keys(references)
const only = ['--only', names.join()]
const archive = (name: string) => `${name}-2026-11-24.tar.gz`
const worker = archive('comfyume-worker')

let server: RealS3
let folder: string
/** The images on the backed-up instance. */
let images: string[]
let verda: Verda
let root: OwnRoot
let engine: Engine
/** The stores' settings, with a key that may not delete. */
let r2: Record<string, string>

beforeAll(async () => {
  server = (await realS3Servers.MinIO?.(bucketNames)) as RealS3
  r2 = storeSettings('R2', server)
  folder = mkdtempSync(path.join(tmpdir(), 'restore-images-'))
  const verdas = podman(path.join(folder, 'verda'))
  for (const reference of Object.values(references)) importImage(verdas, folder, reference)
  verdas.run('tag', references['comfyume-worker'], 'localhost/comfyume-worker:latest')
  images = verdas.images()
  verda = buildVerda()
  Object.assign(verda.settings, {
    VERDA_SSH: 'local',
    CONTAINER_ENGINE: verdas.command,
    CONTAINER_IMAGES: Object.entries(references)
      .map(([name, reference]) => `${name}=${reference}`)
      .join(),
  })
  const sent = await verda.script('backup-verda', [...only, '--to', 'r2', '--json'], { env: r2 })
  expect(sent.code, sent.stderr).toBe(0)
})
afterAll(async () => {
  await server?.close()
  verda?.dispose()
  rmSync(folder, { recursive: true, force: true })
})
let engines = 0
beforeEach(async () => {
  rmSync(verda.sfs, { recursive: true, force: true })
  execFileSync('mkdir', ['-p', verda.cache])
  root = await openOwnRoot()
  engine = podman(path.join(folder, `engine-${engines++}`))
})
afterEach(() => root.close())

async function backUpToTheShare() {
  const run = await verda.cron([...only, '--json'])
  expect(run.code, run.stderr).toBe(0)
}

const restore = ({ env, ...options }: RestoreRunOptions = {}) =>
  runRestore(root, verda, only, { env: { CONTAINER_ENGINE: engine.command, ...env }, ...options })

const statuses = ({ report }: Awaited<ReturnType<typeof restore>>) => report.items.map(({ status }) => status)

/** How often archives were read from R2. */
async function reads(): Promise<number> {
  const log = await server.log()
  return log.filter(({ operation, key }) => operation === 'GetObject' && key.endsWith('.tar.gz')).length
}

function flip(file: string) {
  const content = readFileSync(file)
  const at = Math.floor(content.length / 2)
  content[at] = (content[at] as number) ^ 1
  writeFileSync(file, content)
}

test('one that an older toolkit saved without a tag comes back under a name by which it can be used', async () => {
  const { CONTAINER_ENGINE: command = '' } = verda.settings
  const reference = references['comfyume-worker']
  const id = execFileSync(command, ['image', 'inspect', '--format', '{{.Id}}', reference]).toString().trim()
  const nameless = gzipSync(
    execFileSync(command, ['save', id], { maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] }),
  )
  verda.put(worker, nameless)
  const sha256 = createHash('sha256').update(nameless).digest('hex')
  verda.put(`${worker}.sha256`, `# item: comfyume-worker\n# fingerprint: ${id} \n${sha256}  ${worker}\n`)
  const one = { CONTAINER_ENGINE: engine.command }
  for (const status of ['restored', 'unchanged']) {
    const run = await runRestore(root, verda, ['--only', 'comfyume-worker', '--from', 'sfs'], { env: one })
    expect([run.code, run.item('comfyume-worker').status], run.log).toEqual([0, status])
    expect(engine.images()).toEqual([`localhost/comfyume-worker:latest sha256:${id.replace('sha256:', '')}`])
  }
})

test('from the share: the ids and tags are what they were; run again, nothing is read', async () => {
  await backUpToTheShare()
  const run = await restore()
  expect([run.code, statuses(run)], run.log).toEqual([0, ['restored', 'restored']])
  expect(run.item('comfyume-worker')).toMatchObject({ source: 'sfs', key: worker, verified: true })
  expect(engine.images()).toEqual(images)

  // A restore that reads these again finds them bad.
  for (const name of names) flip(path.join(verda.cache, archive(name)))
  const again = await restore()
  expect([again.code, statuses(again)], again.log).toEqual([0, ['unchanged', 'unchanged']])
  expect(engine.images()).toEqual(images)
})

test('from R2, and onto the share on the way, where sha256sum and the next backup find them good', async () => {
  const before = await reads()
  const run = await restore({ env: r2 })
  expect([run.code, statuses(run)], run.log).toEqual([0, ['restored', 'restored']])
  expect(run.item('comfyume-frontend')).toMatchObject({ source: 'r2', verified: true })
  expect(engine.images()).toEqual(images)
  // Each of the two takes two range requests.
  expect((await reads()) - before).toBe(4)

  expect(verda.names('')).toEqual(names.flatMap((name) => [archive(name), `${archive(name)}.sha256`]).sort())
  expect(verda.checkByHand('')).toEqual([])
  const backup = await verda.cron([...only, '--json'], { env: { CONTAINER_ENGINE: engine.command } })
  expect(
    reportOf(backup).items.map(({ status }) => status),
    backup.stderr,
  ).toEqual(['unchanged', 'unchanged'])

  const again = await restore({ env: r2 })
  expect([again.code, statuses(again), (await reads()) - before], again.log).toEqual([
    0,
    ['unchanged', 'unchanged'],
    4,
  ])
})

test('an archive on the share that is not what its record says is not loaded, gives way to R2, and is mended from there', async () => {
  await backUpToTheShare()
  flip(path.join(verda.cache, worker))
  const alone = await restore()
  expect([alone.code, statuses(alone)]).toEqual([1, ['restored', 'failed']])
  expect(alone.item('comfyume-worker').reason).toContain('it is not what its record says')
  expect(engine.images()).toEqual(images.filter((line) => line.includes('frontend')))

  const run = await restore({ env: r2 })
  expect([run.code, statuses(run)], run.log).toEqual([0, ['unchanged', 'restored']])
  expect(run.item('comfyume-worker')).toMatchObject({
    source: 'r2',
    passed: [{ source: 'sfs', key: worker }],
  })
  expect(engine.images()).toEqual(images)
  expect(verda.checkByHand('')).toEqual([])
})

test('one that is cut short is skipped, and mended too', async () => {
  await backUpToTheShare()
  truncateSync(path.join(verda.cache, worker), 1_000_000)
  const run = await restore({ env: r2 })
  expect([run.code, statuses(run)], run.log).toEqual([0, ['restored', 'restored']])
  expect(run.item('comfyume-worker').source).toBe('r2')
  expect([engine.images(), verda.checkByHand('')]).toEqual([images, []])
})

test('one that is cut short and has no record is found out while it is unpacked, and nothing of it is there', async () => {
  await backUpToTheShare()
  rmSync(path.join(verda.cache, `${worker}.sha256`))
  truncateSync(path.join(verda.cache, worker), 1_000_000)
  const run = await restore()
  expect([run.code, statuses(run)]).toEqual([1, ['restored', 'failed']])
  expect(run.item('comfyume-worker').reason).toContain('it cannot be unpacked')
  expect(engine.images()).toEqual(images.filter((line) => line.includes('frontend')))
})

test('without an engine, or with one that does not answer, nothing is read and it says what to do', async () => {
  await backUpToTheShare()
  const before = await reads()
  const missing = await restore({ env: { ...r2, CONTAINER_ENGINE: '/nowhere/docker' } })
  expect([missing.code, statuses(missing)]).toEqual([1, ['failed', 'failed']])
  expect(missing.item('comfyume-worker').reason).toMatch(
    /^CONTAINER_ENGINE is \/nowhere\/docker, but there is no such command/,
  )
  const silent = podman(path.join(folder, 'silent'), 'echo Cannot connect to the Docker daemon >&2; exit 1')
  const run = await restore({ env: { ...r2, CONTAINER_ENGINE: silent.command } })
  expect([run.code, statuses(run), await reads()]).toEqual([1, ['failed', 'failed'], before])
  expect(run.item('comfyume-worker').reason).toMatch(/does not answer: Cannot connect to the Docker daemon/)
})

test('killed while it loads: nothing of the image is there, and run again it comes', async () => {
  const [loads, killedNow] = [path.join(folder, 'loads'), path.join(folder, 'killed')]
  const slow = podman(
    path.join(folder, 'slow'),
    `[ "$1" != load ] || { touch ${loads}; until [ -e ${killedNow} ]; do sleep 0.1; done; }`,
  )
  const itLoads = async () => {
    while (!existsSync(loads)) await sleep(10)
    await sleep(300)
  }
  const env = { ...r2, CONTAINER_ENGINE: slow.command }
  const killed = await restore({ env, killAfter: itLoads() })
  expect(killed.code).toBe(null)
  writeFileSync(killedNow, '')
  const load = () => execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).includes(`${folder}/slow`)
  await expect.poll(load, { timeout: 20_000 }).toBe(false)
  expect(slow.images()).toEqual([])
  expect(verda.names('').filter((name) => !name.startsWith('.'))).toEqual([])

  const run = await restore({ env })
  expect([run.code, statuses(run)], run.log).toEqual([0, ['restored', 'restored']])
  expect([slow.images(), verda.checkByHand('')]).toEqual([images, []])
  expect(readdirSync(verda.cache).filter((name) => name.startsWith('.') && name !== '.locks')).toEqual([])
})
