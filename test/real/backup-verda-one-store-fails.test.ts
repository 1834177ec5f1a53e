import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync } from 'node:fs'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { startTcpProxy, type TcpProxy } from '../servers/tcp-proxy.ts'
import { ownerOf } from './buckets.ts'
import {
  bucketNames,
  buildTwoMachines,
  checkByHand,
  storeSettings,
  type TwoMachines,
} from './two-machines.ts'

const cache = bucketNames[0] as string

let server: RealS3
let owner: ReturnType<typeof ownerOf>
let proxy: TcpProxy
let machines: TwoMachines
let env: Record<string, string>

beforeAll(async () => {
  machines = await buildTwoMachines()
  server = (await realS3Servers.MinIO?.(bucketNames)) as RealS3
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

test("Mello's disk is full: R2 gets everything, the run says so; with room again an unchanged run gives Mello its copies", async () => {
  machines.verda.write('home/dev/large.bin', randomBytes(20_000_000))
  machines.settle()
  const disk = machines.home('small-disk')
  const { uid, gid } = machines.operator
  mkdirSync(disk)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=8m,uid=${uid},gid=${gid},mode=700`, 'tmpfs', disk])
  onTestFinished(() => void execFileSync('umount', [disk]))
  const settings = { ...env, MELLO_BACKUPS: disk }
  const args = ['--only', 'config']

  const full = await machines.run('backup-verda', args, settings)
  expect(full.code, full.log).toBe(1)
  const { mello, r2 } = full.item('home-dev').stores
  expect(mello).toMatchObject({
    status: 'failed',
    error: expect.stringContaining('no space left: free some'),
  })
  expect(r2?.status).toBe('stored')
  expect(full.log).toMatch(/Z FAILED backup-verda: .*, 1 failed in mello \(home-dev\)/)
  expect(full.item('root-home').stores, 'what is small enough').toMatchObject({
    mello: { status: 'stored' },
    r2: { status: 'stored' },
  })
  expect(readdirSync(`${disk}/config`).filter((name) => name.includes('home-dev'))).toEqual([])

  execFileSync('mount', ['-o', 'remount,size=100m', disk])
  const later = { ...settings, BACKUP_NOW: '2026-11-24T12:00:00Z' }
  const again = await machines.run('backup-verda', args, later)
  expect(again.code, again.log).toBe(0)
  expect(again.item('home-dev').stores).toMatchObject({
    mello: { status: 'stored', key: 'config/home-dev-2026-11-24.tar.gz' },
    r2: { status: 'unchanged' },
  })
  expect(again.item('root-home').status).toBe('unchanged')
  expect(checkByHand(disk)).toEqual([])
})

test('R2 is down: Mello gets everything; back again, an unchanged run gives R2 its copies', async () => {
  const args = ['--only', 'env,ufw,fail2ban,root-home']
  const tomorrow = { ...env, BACKUP_NOW: '2026-11-25T10:00:00Z' }
  machines.verda.write('home/dev/comfyume-v1/.env', 'PASSWORD=another\n', 0o600)
  machines.verda.write('root/.bashrc', '# another\n')
  machines.settle()
  const keys = ['env', 'root-home'].map((item) => `config/${item}-2026-11-25.tar.gz`)
  const before = proxy.connections()
  proxy.hangUp(true)
  const down = await machines.run('backup-verda', args, tomorrow)
  expect(down.code, down.log).toBe(1)
  for (const { stores } of down.report.items) {
    expect(stores.r2).toMatchObject({
      status: 'failed',
      error: expect.stringMatching(/127\.0\.0\.1 does not answer/),
    })
    expect(stores.mello?.status).toBe('stored')
  }
  expect(down.log).toContain('FAILED backup-verda: ')
  // Ten patient tries, then one per other item and one for the report: Mello's copies do not wait.
  expect(proxy.connections() - before).toBe(14)
  proxy.hangUp(false)
  const held = await owner.list(cache)
  expect(keys.filter((key) => held.has(key))).toEqual([])

  const back = await machines.run('backup-verda', args, { ...tomorrow, BACKUP_NOW: '2026-11-25T12:00:00Z' })
  expect(back.code, back.log).toBe(0)
  for (const item of ['env', 'root-home']) {
    const { mello, r2 } = back.item(item).stores
    expect([item, mello?.status, r2?.status]).toEqual([item, 'unchanged', 'stored'])
    expect(await owner.sha256(cache, r2?.key ?? '')).toBe(mello?.sha256)
  }
})
