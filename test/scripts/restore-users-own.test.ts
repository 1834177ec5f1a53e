import {
  chmodSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RestorePlan } from '../../lib/restore/plan/planned.ts'
import type { RestoreReport } from '../../lib/restore/report.ts'
import { tarOf } from '../restore/tar-writer.ts'
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
  expect(report.items[0]).toMatchObject({ item: 'user-data', status: 'restored' })
  expect(run.code).toBe(0)
  expect(readFileSync(path.join(restored, 'file'), 'utf8')).toBe('workflows of user001\n')
  expect(readlinkSync(path.join(restored, 'climbing'))).toBe(`${up}etc/passwd`)
  expect(lstatSync(path.join(restored, 'absolute')).isSymbolicLink()).toBe(true)
  expect(statSync(path.join(restored, 'tool')).mode & 0o7777).toBe(0o755)
})

/** Older toolkits packed things that no restore can recreate; no other copies of that day exist. */
test('a device and paths that are too long, in an archive of an older toolkit, are left out alone and named', async () => {
  const { verda } = workshop
  const name = 'n'.repeat(256)
  const archive = gzipSync(
    tarOf(
      { name: 'home/dev/notes', content: 'mine\n' },
      { name: 'home/dev/.local/share/containers/whiteout', type: 'character device', device: [0, 0] },
      { name: 'x', pax: { path: `home/dev/${name}` }, content: 'x' },
    ),
  )
  verda.putBackup('home-dev', '2026-11-23', '2026-11-23T10:00:00Z', archive)
  const run = await verda.script('restore', [
    '--yes',
    '--json',
    '--only',
    'home-dev',
    '--from',
    'sfs',
    '--root',
    path.join(verda.folder, 'other'),
  ])
  expect(run.code, run.stderr).toBe(0)
  const [item] = (JSON.parse(run.stdout) as RestoreReport).items
  expect([item?.status, item?.left?.toSorted()]).toEqual([
    'restored',
    ['home/dev/.local/share/containers/whiteout', `home/dev/${name}`],
  ])
  expect(run.stderr).toContain('home/dev/.local/share/containers/whiteout is a device and is left out')
  expect(run.stderr).toContain('is left out: its name is too long')
  expect(readFileSync(path.join(verda.folder, 'other/home/dev/notes'), 'utf8')).toBe('mine\n')
  const drill = await verda.script('verify', ['--drill', '--only', 'home-dev', '--store', 'sfs'])
  expect(drill.code, drill.stdout).toBe(0)
})

test('a tailscale state that no other machine can use is skipped alike by the plan, a drill and verify', async () => {
  const { verda } = workshop
  const state = (text: string) =>
    gzipSync(tarOf({ name: 'var/lib/tailscale/tailscaled.state', content: text }))
  verda.putBackup(
    'tailscale',
    '2026-11-22',
    '2026-11-22T10:00:00Z',
    state('{"_machinekey":"x","_current-profile":"cHJvZmlsZS0x","profile-1":"x"}'),
  )
  for (let day = 10; day < 24; day++)
    verda.putBackup(
      'tailscale',
      `2026-12-${day}`,
      `2026-12-${day}T10:00:00Z`,
      state(`{"key":{},"nonce":"${day}","data":"AA"}`),
    )
  const flags = ['--only', 'tailscale', '--from', 'sfs', '--json', '--root', path.join(verda.folder, 'third')]
  const later = { env: { BACKUP_NOW: '2026-12-24T10:00:00Z' } }
  const plan = await verda.script('restore', [...flags, '--dry-run'], later)
  const [planned] = (JSON.parse(plan.stdout) as RestorePlan).items
  expect(planned?.candidates.map(({ key }) => key)).toEqual(['config/tailscale-2026-11-22.tar.gz'])
  expect(planned?.passed.map(({ reason }) => reason)).toEqual(
    Array(14).fill(expect.stringMatching(/^is not a backup: its tailscaled\.state is sealed with the TPM/)),
  )
  const run = await verda.script('restore', [...flags, '--yes'], later)
  expect((JSON.parse(run.stdout) as RestoreReport).items[0]).toMatchObject({
    status: 'restored',
    key: 'config/tailscale-2026-11-22.tar.gz',
  })
  const drill = await verda.script(
    'verify',
    ['--drill', '--only', 'tailscale', '--store', 'sfs', '--json'],
    later,
  )
  expect(JSON.parse(drill.stdout).items[0]).toMatchObject({ key: 'config/tailscale-2026-11-22.tar.gz' })
})
