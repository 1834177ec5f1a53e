import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { ownerOf } from './buckets.ts'
import { type Engine, importImage, podman } from './podman.ts'
import {
  bucketNames,
  buildTwoMachines,
  checkByHand,
  storeSettings,
  type TwoMachines,
} from './two-machines.ts'

const containers = bucketNames[2] as string
const day = '2026-11-24'

let server: RealS3
let owner: ReturnType<typeof ownerOf>
let machines: TwoMachines
let verdas: Engine
let folder: string
let env: Record<string, string>

beforeAll(async () => {
  machines = await buildTwoMachines()
  server = (await realS3Servers.MinIO?.(bucketNames)) as RealS3
  owner = ownerOf(server)
  folder = mkdtempSync(path.join(tmpdir(), 'podman-'))
  verdas = podman(path.join(folder, 'verda'))
  const references = {
    'comfyume-frontend': 'localhost/comfyume-frontend:v0.11.0',
    'comfyume-worker': 'registry.example/team/comfyume-worker:v2',
    'comfyume-queue-manager': 'localhost/comfyume-queue-manager:latest',
    'comfyume-nginx': 'localhost/comfyume-nginx:latest',
    'comfyume-admin': 'localhost/comfyume-admin:latest',
  }
  for (const reference of Object.values(references)) importImage(verdas, folder, reference)
  const images = Object.entries(references).map(([name, reference]) => `${name}=${reference}`)
  env = {
    ...storeSettings('R2', server),
    CONTAINER_ENGINE: verdas.command,
    CONTAINER_IMAGES: images.filter((image) => !image.startsWith('comfyume-admin')).join(','),
  }
  // The admin panel is not in the list: its reference comes from the container of that name.
  verdas.run('tag', references['comfyume-admin'], 'localhost/workshop/comfyume-admin:v7')
  verdas.run('untag', references['comfyume-admin'], references['comfyume-admin'])
  verdas.run('create', '--name', 'comfyume-admin', 'localhost/workshop/comfyume-admin:v7', '/app')
})

afterAll(async () => {
  owner.close()
  await server.close()
  rmSync(folder, { recursive: true, force: true })
  await machines.dispose()
})

test('five images of podman go to Mello and R2, checked, and load again as what they were', async () => {
  const { code, log, report, item } = await machines.run('backup-verda', ['--only', 'containers'], env)
  expect(code, log).toBe(0)
  expect(report.items.map(({ status }) => status)).toEqual(Array(5).fill('stored'))
  expect(checkByHand(machines.copies)).toEqual([])

  const another = podman(path.join(folder, 'another'))
  for (const { item: name, stores } of report.items) {
    const key = `${name}-${day}.tar.gz`
    expect(stores.mello).toMatchObject({ key })
    expect(await owner.sha256(containers, key)).toBe(stores.mello?.sha256)
    execFileSync(
      'sh',
      ['-c', 'gzip -dc "$1" | "$2" load', 'sh', path.join(machines.copies, key), another.command],
      {
        stdio: 'pipe',
      },
    )
  }
  expect(another.images()).toEqual(verdas.images())
  expect(item('comfyume-admin').stores.r2?.key).toBe(`comfyume-admin-${day}.tar.gz`)
})

test('the second time they are unchanged, and a tag alone makes a change', async () => {
  const later = { ...env, BACKUP_NOW: `${day}T15:00:00Z` }
  const before = [...(await owner.list(containers)).keys()]
  const second = await machines.run('backup-verda', ['--only', 'containers'], later)
  expect(second.code, second.log).toBe(0)
  expect(second.report.items.map(({ status }) => status)).toEqual(Array(5).fill('unchanged'))
  expect([...(await owner.list(containers)).keys()]).toEqual(before)

  verdas.run('tag', 'localhost/comfyume-nginx:latest', 'localhost/comfyume-nginx:v0.12.0')
  const third = await machines.run('backup-verda', ['--only', 'containers'], later)
  expect(third.code, third.log).toBe(0)
  expect(third.report.items.filter(({ status }) => status === 'stored').map(({ item }) => item)).toEqual([
    'comfyume-nginx',
  ])
  expect(third.item('comfyume-nginx').stores.r2?.key).toBe(`comfyume-nginx-${day}-15.tar.gz`)
})

test('a missing image fails itself alone', async () => {
  verdas.run('rmi', 'localhost/comfyume-queue-manager:latest')
  importImage(verdas, folder, 'localhost/comfyume-frontend:v0.11.0')
  const { code, report, item } = await machines.run('backup-verda', ['--only', 'containers'], {
    ...env,
    BACKUP_NOW: `${day}T16:00:00Z`,
  })
  expect(code).toBe(1)
  expect(item('comfyume-queue-manager').reason).toMatch(
    /^there is no image localhost\/comfyume-queue-manager:latest on verda/,
  )
  expect(report.items.map(({ status }) => status).toSorted()).toEqual([
    'failed',
    'stored',
    'unchanged',
    'unchanged',
    'unchanged',
  ])
})
