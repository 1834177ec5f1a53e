import { chmodSync, existsSync, lstatSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RestoreReport } from '../../lib/restore/report.ts'
import { buildWorkshop, type Workshop } from './workshop.ts'

let workshop: Workshop
beforeAll(async () => {
  workshop = await buildWorkshop()
})
afterAll(() => workshop.dispose())

test('no user can make the backups of all users worthless, nor get more rights by a restore', async () => {
  const own = path.join(workshop.mello, 'home/dev/comfyume-v1/data/workflows/user001')
  const up = '../'.repeat(40)
  symlinkSync(`${up}etc/passwd`, path.join(own, 'climbing'))
  symlinkSync('/etc/hostname', path.join(own, 'absolute'))
  writeFileSync(path.join(own, 'tool'), '#!/bin/sh\n')
  chmodSync(path.join(own, 'tool'), 0o6755)
  expect((await workshop.backupMello(['--only', 'user-data'])).code).toBe(0)

  const root = path.join(workshop.verda.folder, 'new')
  const run = await workshop.verda.script('restore', [
    '--yes',
    '--json',
    '--only',
    'user-data',
    '--root',
    root,
  ])
  const report = JSON.parse(run.stdout) as RestoreReport
  const restored = path.join(root, 'home/dev/comfyume-v1/data/workflows/user001')
  const link = 'home/dev/comfyume-v1/data/workflows/user001/climbing'
  expect(report.items[0]).toMatchObject({ item: 'user-data', status: 'restored', left: [link] })
  expect(run.stderr).toContain(
    `user-data: left out is ${link}, a link that leads outside, to ${up}etc/passwd`,
  )
  expect(run.code).toBe(0)
  expect(readFileSync(path.join(restored, 'file'), 'utf8')).toBe('workflows of user001\n')
  expect(existsSync(path.join(restored, 'climbing'))).toBe(false)
  expect(lstatSync(path.join(restored, 'absolute')).isSymbolicLink()).toBe(true)
  expect(statSync(path.join(restored, 'tool')).mode & 0o7777).toBe(0o755)
})

test('of what only the machine writes, such an archive is refused as a whole', async () => {
  const { verda } = workshop
  symlinkSync(`${'../'.repeat(40)}etc/passwd`, path.join(verda.root, 'etc/ufw/climbing'))
  expect((await verda.cron(['--only', 'ufw'])).code).toBe(0)
  const root = path.join(verda.folder, 'other')
  const run = await verda.script('restore', ['--yes', '--only', 'ufw', '--from', 'sfs', '--root', root])
  expect(run.code).toBe(1)
  expect(run.stdout).toMatch(/FAILED ufw: .*it holds etc\/ufw\/climbing, a link that leads outside/)
  expect(existsSync(path.join(root, 'etc/ufw'))).toBe(false)
})
