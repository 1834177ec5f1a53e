import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildRestorable, outcomeOf, type Restorable } from './restorable.ts'
import { containersBucket } from './workshop.ts'

let world: Restorable
beforeAll(async () => {
  world = await buildRestorable()
})
afterAll(() => world.dispose())

const models = 'mnt/sfs/models'
const names = ['checkpoints/base.safetensors', 'loras/style.safetensors']
const restoreModels = (to: string, ...args: string[]) =>
  world.restore(['--only', 'models', '--yes', '--json', ...args, '--root', to])

it('downloads models from R2, and leaves those that are there alone', async () => {
  const to = world.drill()
  const run = await restoreModels(to)
  expect(run.code, run.stderr).toBe(0)
  for (const name of names)
    expect(readFileSync(path.join(to, models, name))).toEqual(
      readFileSync(path.join(world.verda.root, models, name)),
    )
  expect(outcomeOf(run, 'models').files?.map(({ status }) => status)).toEqual(['downloaded', 'downloaded'])
  const reads = world.r2.log.filter(({ operation }) => operation === 'GetObject').length
  const again = await restoreModels(to)
  expect(outcomeOf(again, 'models').status).toBe('unchanged')
  expect(world.r2.log.filter(({ operation }) => operation === 'GetObject').length).toBe(reads)
})

it('links to models that lie on the share, downloads what is not there, and says both in the plan', async () => {
  const onShare = path.join(world.verda.sfs, 'models')
  mkdirSync(path.join(onShare, 'checkpoints'), { recursive: true })
  cpSync(path.join(world.verda.root, models, names[0] as string), path.join(onShare, names[0] as string))
  const to = world.drill()
  const run = await restoreModels(to)
  rmSync(onShare, { recursive: true })
  expect(run.stderr).toMatch(/ models +sfs, r2 +2 files: 1 to link to, 1 to download \(6 bytes\)/)
  expect(readlinkSync(path.join(to, models, names[0] as string))).toBe(path.join(onShare, names[0] as string))
  expect(lstatSync(path.join(to, models, names[1] as string)).isFile()).toBe(true)
})

it('does not touch a model that is there with another size, says so before and fails', async () => {
  const to = world.drill()
  const file = path.join(to, models, names[0] as string)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, 'half of a download')
  const run = await restoreModels(to)
  expect(run.code).toBe(1)
  expect(run.stderr).toContain(`IN THE WAY models: another file size is at ${names[0]}`)
  expect(run.stderr).toMatch(/FAILED models: .*18 bytes, and r2 has 11: it was left alone/)
  expect(readFileSync(file, 'utf8')).toBe('half of a download')
  expect(existsSync(path.join(to, models, names[1] as string))).toBe(true)
})

it('fails when no source of models can be reached, and says so in the plan', async () => {
  const run = await world.restore(['--only', 'models', '--yes', '--root', world.drill()], {
    env: { R2_ACCESS_KEY_ID: '', R2_SECRET_ACCESS_KEY: '' },
  })
  expect(run.code).toBe(1)
  expect(run.stdout).toContain('MISSING models: sfs, r2 not looked at')
  expect(run.stdout).toMatch(/FAILED models: no source of models can be reached: .*R2_ACCESS_KEY_ID/)
})

it('reads and checks images in a drill, and loads none; a corrupt one falls through', async () => {
  const file = path.join(world.verda.cache, 'comfyume-worker-2026-11-24.tar.gz')
  const content = readFileSync(file)
  content[content.length >> 1] = (content[content.length >> 1] as number) ^ 1
  writeFileSync(file, content)
  const run = await world.restore(['--only', 'containers', '--yes', '--json', '--root', world.drill()])
  expect(run.code, run.stderr).toBe(0)
  const worker = outcomeOf(run, 'comfyume-worker')
  expect(worker).toMatchObject({ source: 'r2', status: 'skipped', verified: true })
  expect(worker.passed?.[0]?.reason).toContain('not what its record says')
  expect(outcomeOf(run, 'comfyume-admin')).toMatchObject({
    source: 'sfs',
    reason: 'read and checked; a drill loads no image',
  })
  expect(await world.r2.content(containersBucket, path.basename(file))).toHaveLength(content.length)
})
