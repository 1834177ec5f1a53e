import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FileOutcome } from '../../lib/backup/report.ts'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { startTcpProxy, type TcpProxy } from '../servers/tcp-proxy.ts'
import { breachesIn, ownerOf } from './buckets.ts'
import { bucketNames, buildTwoMachines, type Run, storeSettings, type TwoMachines } from './two-machines.ts'

const megabyte = 1_000_000
/** Four parts of 16 MiB upload at once; a kill loses at most these and the socket buffers. */
const lostByAKill = 4 * 16 * 2 ** 20 + 8 * megabyte
const vault = bucketNames[1] as string

let server: RealS3
let owner: ReturnType<typeof ownerOf>
let proxy: TcpProxy
let machines: TwoMachines
let env: Record<string, string>

beforeAll(async () => {
  machines = await buildTwoMachines()
  server = (await realS3Servers.VersityGW?.(bucketNames)) as RealS3
  owner = ownerOf(server)
  proxy = await startTcpProxy(Number(new URL(server.endpoint).port))
  env = storeSettings('R2', server, proxy.port)
})

afterAll(async () => {
  await proxy.close()
  owner.close()
  await server.close()
  await machines.dispose()
})

const backUpModels = () => machines.run('backup-verda', ['--only', 'models'], env)

function filesOf(run: Run): Record<string, FileOutcome> {
  return Object.fromEntries((run.item('models').stores.r2?.files ?? []).map((file) => [file.key, file]))
}

test('600 MB in three models, killed three times and then completed: what was sent before is not sent again', async () => {
  const digests = new Map<string, string>()
  for (const name of ['checkpoints/one', 'diffusion_models/two', 'vae/three']) {
    const key = `${name}.safetensors`
    digests.set(key, layModel(key, 200 * megabyte + digests.size))
  }
  machines.settle()

  const sentByRun: number[] = []
  for (const moment of [90, 170, 200].map((count) => count * megabyte)) {
    const before = proxy.sent()
    const running = machines.start('backup-verda', ['--only', 'models'], env)
    await proxy.sentMore(moment)
    await running.kill()
    sentByRun.push(proxy.sent() - before)
  }
  const before = proxy.sent()
  const { code, log } = await backUpModels()
  sentByRun.push(proxy.sent() - before)
  expect(code, log).toBe(0)

  const held = await owner.list(vault)
  for (const [key, sha256] of digests) {
    expect(held.has(`${key}.sha256`), key).toBe(true)
    expect(await owner.sha256(vault, key), key).toBe(sha256)
  }
  expect(breachesIn(await server.log(), bucketNames.length)).toEqual([])
  const sent = sentByRun.reduce((sum, bytes) => sum + bytes)
  const inFiles = 600 * megabyte + 3
  const megabytes = sentByRun.map((bytes) => Math.round(bytes / megabyte)).join(' + ')
  console.info(
    `models: ${Math.round(sent / megabyte)} MB sent (${megabytes}) for ${inFiles / megabyte} MB in files, ` +
      `${Math.round((sent - inFiles) / megabyte)} MB of them twice, in three kills`,
  )
  expect(sent).toBeLessThan(inFiles + 3 * lostByAKill)
})

test('a second run sends no model again', async () => {
  const before = proxy.sent()
  const run = await backUpModels()
  expect(run.code, run.log).toBe(0)
  expect(run.item('models').status).toBe('unchanged')
  expect(proxy.sent() - before).toBeLessThan(megabyte)
})

test('the same name with another size is not touched: what is here goes beside it, under the date', async () => {
  await owner.put(vault, 'loras/style.safetensors', Buffer.from('an older style'))
  layModel('loras/style.safetensors', 1000)
  layModel('loras/other.safetensors', 1000)
  machines.settle()
  const was = (await owner.list(vault)).get('loras/style.safetensors')
  const run = await backUpModels()
  expect(run.code, run.log).toBe(0)
  const beside = Object.keys(filesOf(run)).filter((key) => key.startsWith('loras/style-2'))
  expect(beside.map((key) => filesOf(run)[key]?.status)).toEqual(['stored'])
  expect(filesOf(run)['loras/other.safetensors']?.status).toBe('stored')
  expect((await owner.list(vault)).get('loras/style.safetensors')).toEqual(was)
  machines.verda.remove('mnt/sfs/models/loras/style.safetensors')
})

test('a model that is there without a record counts as there when its size fits', async () => {
  const content = randomBytes(2000)
  await owner.put(vault, 'vae/by hand.safetensors', content)
  machines.verda.write('mnt/sfs/models/vae/by hand.safetensors', content)
  machines.settle()
  const run = await backUpModels()
  expect(run.code, run.log).toBe(0)
  expect(filesOf(run)['vae/by hand.safetensors']?.status).toBe('unchanged')
  expect((await owner.list(vault)).has('vae/by hand.safetensors.sha256')).toBe(false)
})

test('links become full copies, and files that no rule covers are named in a warning', async () => {
  const digest = layModel('checkpoints/linked to.safetensors', 5000)
  const link = `${machines.verda.root}/mnt/sfs/models/diffusion_models/link.safetensors`
  symlinkSync('../checkpoints/linked to.safetensors', link)
  machines.verda.write('mnt/sfs/models/checkpoints/README.md', 'read me')
  machines.verda.write('mnt/sfs/models/embeddings/x.pt', 'an embedding')
  machines.settle()
  const run = await backUpModels()
  expect(run.code, run.log).toBe(0)
  for (const key of ['checkpoints/linked to.safetensors', 'diffusion_models/link.safetensors'])
    expect(await owner.sha256(vault, key), key).toBe(digest)
  const warnings = run.item('models').warnings?.join('\n')
  expect(warnings).toContain('checkpoints/README.md')
  expect(warnings).toContain('embeddings')
})

/** Writes a model of random bytes; returns its SHA-256. */
function layModel(name: string, bytes: number): string {
  const file = path.join(machines.verda.root, 'mnt/sfs/models', name)
  mkdirSync(path.dirname(file), { recursive: true })
  const hash = createHash('sha256')
  for (let left = bytes; left > 0; left -= 20 * megabyte) {
    const content = randomBytes(Math.min(left, 20 * megabyte))
    appendFileSync(file, content)
    hash.update(content)
  }
  return hash.digest('hex')
}
