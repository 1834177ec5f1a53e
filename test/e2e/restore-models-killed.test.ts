import { createHash, randomBytes } from 'node:crypto'
import { existsSync, lstatSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildRestorable, type Restorable } from '../scripts/restorable.ts'
import { modelsBucket } from '../scripts/workshop.ts'

let world: Restorable
beforeAll(async () => {
  world = await buildRestorable()
})
afterAll(() => world.dispose())

const models = 'mnt/sfs/models'
const names = ['checkpoints/base.safetensors', 'loras/style.safetensors']
const restoreModels = (to: string, ...args: string[]) =>
  world.restore(['--only', 'models', '--yes', '--json', ...args, '--root', to])

/** Settles when a file has at least so many bytes. */
async function fileOf(file: string, bytes: number): Promise<void> {
  while (!existsSync(file) || lstatSync(file).size <= bytes) await sleep(20)
}

function sha256Of(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

it('goes on with a model whose download was killed, and refuses one that is not what its record says', async () => {
  const large = randomBytes(24 << 20)
  const sha256 = createHash('sha256').update(large).digest('hex')
  await world.r2.put(modelsBucket, 'vae/large.safetensors', large)
  await world.r2.put(
    modelsBucket,
    'vae/large.safetensors.sha256',
    Buffer.from(`${sha256}  large.safetensors\n`),
  )
  const to = world.drill()
  const partial = path.join(to, models, 'vae/.large.safetensors.partial')
  // Half of it comes, then nothing; the run is killed meanwhile.
  world.r2.fail({ operation: 'GetObject', how: 'stall', times: 3 })
  await world.restore(['--only', 'models', '--yes', '--root', to], { killAfter: fileOf(partial, 8 << 20) })
  const begun = lstatSync(partial).size
  expect(begun).toBeGreaterThan(8 << 20)
  expect(existsSync(path.join(to, models, 'vae/large.safetensors'))).toBe(false)
  const from = world.r2.log.length
  const run = await restoreModels(to)
  expect(run.code, run.stderr).toBe(0)
  const ranges = world.r2.log
    .slice(from)
    .map(({ key, headers }) => key.startsWith('vae/large.safetensors') && headers.range)
  expect(ranges).toContain(`bytes=${begun}-`)
  expect(sha256Of(path.join(to, models, 'vae/large.safetensors'))).toBe(sha256)

  await world.r2.put(
    modelsBucket,
    'vae/large.safetensors.sha256',
    Buffer.from(`${'0'.repeat(64)}  large.safetensors\n`),
  )
  const other = world.drill()
  const wrong = await restoreModels(other)
  expect(wrong.code).toBe(1)
  expect(wrong.stderr).toMatch(
    /FAILED models: .*vae\/large\.safetensors was downloaded and does not match its record/,
  )
  expect(existsSync(path.join(other, models, 'vae/large.safetensors'))).toBe(false)
  expect(existsSync(path.join(other, models, names[0] as string))).toBe(true)
})
