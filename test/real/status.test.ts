import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Assessment } from '../../lib/status/judge/assess.ts'
import { buildTwoMachines, type TwoMachines } from './two-machines.ts'

let machines: TwoMachines
let config: string
beforeAll(async () => {
  machines = await buildTwoMachines()
  config = machines.home('.ssh/config')
  machines.verda.write('mnt/sfs/models/checkpoints/base.safetensors', 'a model')
  const env = { TOOLKIT_DIR: '/opt/comfyume-backup' }
  await machines.verda.cron([], { env })
  await machines.verda.cron(['--only', 'home-dev,root-home,scripts'], { env })
})
afterAll(() => machines.dispose())

/** As on Mello without a share: only SFS, and no image backups. */
async function look(args: string[] = [], now = '2026-11-24T10:30:00Z') {
  const { code, report } = await machines.run('status', ['--stores', 'sfs', ...args], {
    SFS_ROOT: '/nowhere/on/mello',
    SFS_CACHE: machines.verda.cache,
    SFS_REQUIRE_MOUNT: '0',
    BACKUP_NOW: now,
  })
  const state = report as unknown as Assessment
  return { code, state, troubles: state.findings.map(({ trouble, store }) => `${trouble} ${store}`) }
}

const cell = (state: Assessment) =>
  state.cells.find(({ item, store }) => item === 'tailscale' && store === 'sfs')

function lockVerdaAway(): () => void {
  const before = readFileSync(config, 'utf8')
  machines.addSshHost('verda', 'Port 1')
  return () => writeFileSync(config, before)
}

test('Mello sees the share through ssh and sudo, and leaves nothing there', async () => {
  const before = readdirSync(machines.verda.sfs, { recursive: true })
  const { code, state, troubles } = await look()
  expect(troubles).toEqual(['missing sfs'])
  expect(state.findings[0]?.items).toEqual([
    'comfyume-frontend',
    'comfyume-worker',
    'comfyume-queue-manager',
    'comfyume-nginx',
    'comfyume-admin',
  ])
  expect(code).toBe(1)
  expect(cell(state)).toMatchObject({ state: 'fresh', newest: { key: 'config/tailscale-2026-11-24.tar.gz' } })
  expect(state.room[0]?.freeBytes).toBeGreaterThan(0)
  expect(readdirSync(machines.verda.sfs, { recursive: true })).toEqual(before)
  expect(statSync(machines.home('.local/state/comfyume-backup')).mode & 0o777).toBe(0o700)
})

test('when Verda is away, it shows how the share was when it was last seen', async () => {
  const back = lockVerdaAway()
  try {
    const { state, troubles } = await look([], '2026-11-25T08:00:00Z')
    expect(troubles).toEqual(['unreachable sfs', 'missing sfs'])
    expect(state.findings[0]?.what).toContain('showing its state as of 2026-11-24 10:30')
    expect(state.findings[0]?.todo).toContain('--verda-off')
    expect(cell(state)).toMatchObject({ state: 'fresh', asOf: '2026-11-24T10:30:00.000Z' })
  } finally {
    back()
  }
})

test('the mark that Verda is off stays until it answers again, and then goes by itself', async () => {
  const back = lockVerdaAway()
  try {
    expect((await look(['--verda-off'], '2026-11-25T08:00:00Z')).troubles).toEqual(['missing sfs'])
    const later = await look([], '2026-11-27T08:00:00Z')
    expect(later.troubles).toEqual(['missing sfs'])
    expect(later.state.quiet.map(({ trouble }) => trouble)).toEqual(['unreachable'])
    expect(later.state.verdaOff).toEqual({ since: '2026-11-25T08:00:00.000Z', answers: false })
  } finally {
    back()
  }
  const answering = await look([], '2026-11-27T09:00:00Z')
  expect(answering.state.notes.join()).toContain('It answers again: the mark is gone')
  expect(answering.troubles).toEqual(['missing sfs', 'overdue sfs'])
  const after = await look([], '2026-11-27T09:00:00Z')
  expect(after.state.verdaOff).toBeUndefined()
})

test('a mark that is made while Verda still answers waits for it to go', async () => {
  const marking = await look(['--verda-off'])
  expect(marking.state.notes.join()).toContain('It still answers')
  const back = lockVerdaAway()
  try {
    expect((await look()).troubles).toEqual(['missing sfs'])
  } finally {
    back()
  }
})

test('a share that has gone from a Verda that answers is told of, marked or not', async () => {
  const { report } = await machines.run('status', ['--stores', 'sfs'], {
    SFS_ROOT: '/nowhere/on/mello',
    SFS_CACHE: '/nowhere/at/all',
    SFS_REQUIRE_MOUNT: '0',
  })
  const { findings } = report as unknown as Assessment
  expect(findings[0]?.what).toContain('there is no /nowhere/at/all on verda')
  expect(findings[0]?.todo).toContain('Fix this on Verda')
})
