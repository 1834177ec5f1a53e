import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { buildRestorable, type Restorable } from '../scripts/restorable.ts'

let world: Restorable
let saved: string
beforeAll(async () => {
  world = await buildRestorable({ quick: true })
  saved = path.join(world.verda.folder, 'saved')
  cpSync(world.verda.cache, saved, { recursive: true, preserveTimestamps: true })
})
afterAll(() => world.dispose())
/** The share as it was, for each test spoils it in its own way. */
beforeEach(() => {
  rmSync(world.verda.cache, { recursive: true, force: true })
  cpSync(saved, world.verda.cache, { recursive: true, preserveTimestamps: true })
})

it.runIf(process.getuid?.() === 0)('a share that may not be read is told', async () => {
  execFileSync('chmod', ['711', world.verda.folder])
  execFileSync('chmod', ['700', world.verda.cache])
  const run = await world.restore(['--only', 'env', '--from', 'sfs', '--dry-run', '--root', '/tmp/new'], {
    uid: 65534,
    env: { TMPDIR: '/tmp' },
  })
  execFileSync('chmod', ['755', world.verda.cache])
  expect(run.stdout, run.stderr).toMatch(/NOT LOOKED AT sfs: .* cannot be read: .*Permission denied/)
})
