import { rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildRestorable, type Restorable } from '../scripts/restorable.ts'
import { steady } from './steady.ts'

/** What the commands print of one small workshop, so that a change of words is seen in review. `-u` writes the files again. */

let world: Restorable
beforeAll(async () => {
  world = await buildRestorable({ own: true })
})
afterAll(() => world.dispose())

const later = { BACKUP_NOW: '2026-11-28T12:00:00Z' }

test.each([
  ['backup-plan', () => world.verda.cron(['--dry-run'])],
  ['backup-run', () => world.verda.cron(['--quick'])],
  ['backup-verda-run', () => world.workshop.backupVerda()],
  ['status-good', () => world.verda.script('status', [])],
  ['status-overdue', () => world.verda.script('status', [], { env: later })],
  ['verify', () => world.verda.script('verify', ['--store', 'sfs'])],
  [
    'restore-plan',
    () => world.restore(['--full', '--dry-run', '--root', path.join(world.verda.folder, 'new')]),
  ],
  ['restore-run', () => world.restore(['--full', '--yes', '--root', path.join(world.verda.folder, 'new')])],
])('%s', async (name, run) => {
  rmSync(path.join(world.verda.folder, 'new'), { recursive: true, force: true })
  const { stdout, stderr } = await run()
  await expect(steady(stdout + stderr, world.verda.folder)).toMatchFileSnapshot(`printed/${name}.txt`)
})
