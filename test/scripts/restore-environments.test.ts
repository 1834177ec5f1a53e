import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildRestorable, outcomeOf, type Restorable, reportOf } from './restorable.ts'

let world: Restorable
beforeAll(async () => {
  world = await buildRestorable({ quick: true })
})
afterAll(() => world.dispose())

const staging = { ENVIRONMENT: 'staging' }
const env = 'home/dev/comfyume-v1/.env'

it('staging takes production’s copies where it has none, says so once, and leaves the identity out', async () => {
  const to = world.drill()
  const run = await world.restore(['--only', 'config', '--yes', '--json', '--root', to], { env: staging })
  expect(run.code, run.stderr).toBe(0)
  for (const name of ['tailscale', 'ssh-host-keys'])
    expect(outcomeOf(run, name)).toMatchObject({
      status: 'skipped',
      reason: 'is the identity of production, and this is staging: name the item in --only to take it anyway',
    })
  expect(existsSync(path.join(to, 'var/lib/tailscale'))).toBe(false)
  expect(readFileSync(path.join(to, env), 'utf8')).toContain('pa$$word')
  const notes = reportOf(run).notes.filter((note) => note.startsWith('NOT ITS OWN'))
  expect(notes).toEqual([
    'NOT ITS OWN fail2ban, ufw, nginx, ssl, env, home-dev, root-home: the copy of production is used, because staging has none',
  ])
})

it('staging takes production’s identity when it is named', async () => {
  const to = world.drill()
  const run = await world.restore(['--only', 'tailscale', '--yes', '--root', to], { env: staging })
  expect(run.code, run.stdout).toBe(0)
  expect(existsSync(path.join(to, 'var/lib/tailscale/tailscaled.state'))).toBe(true)
})

it('staging’s own folder comes first, also when production’s copy is newer', async () => {
  world.verda.write(env, 'STAGING=1\n', 0o600)
  const backup = await world.verda.cron(['--only', 'env,tailscale'], {
    env: { ...staging, BACKUP_NOW: '2026-11-20T10:00:00Z' },
  })
  expect(backup.code, backup.stdout).toBe(0)
  const to = world.drill()
  const run = await world.restore(['--only', 'config', '--yes', '--json', '--root', to], { env: staging })
  expect(outcomeOf(run, 'env').key).toBe('staging/config/env-2026-11-20.tar.gz')
  expect(readFileSync(path.join(to, env), 'utf8')).toBe('STAGING=1\n')
  expect(outcomeOf(run, 'tailscale').status).toBe('restored')
  const production = await world.restore(['--only', 'env', '--yes', '--json', '--root', world.drill()])
  expect(outcomeOf(production, 'env').key).toBe('config/env-2026-11-24.tar.gz')
})

it('staging takes production’s toolkit without its .env, with which its cron would write production’s names', async () => {
  const to = world.drill()
  const run = await world.restore(['--only', 'scripts', '--yes', '--json', '--root', to], { env: staging })
  expect(run.code, run.stderr).toBe(0)
  expect(existsSync(path.join(to, 'opt/comfyume-backup/package.json'))).toBe(true)
  expect(existsSync(path.join(to, 'opt/comfyume-backup/.env'))).toBe(false)
  expect(outcomeOf(run, 'scripts').left).toEqual(['opt/comfyume-backup/.env'])
  expect(run.stderr).toContain(
    'scripts: opt/comfyume-backup/.env belongs to another environment and is left out',
  )
  const drill = await world.verda.script('verify', ['--drill', '--only', 'scripts'], { env: staging })
  expect(drill.code, drill.stdout).toBe(0)
})

it('production takes its own toolkit with its .env', async () => {
  const to = world.drill()
  const run = await world.restore(['--only', 'scripts', '--yes', '--json', '--root', to])
  expect([run.code, outcomeOf(run, 'scripts').left], run.stderr).toEqual([0, undefined])
  expect(existsSync(path.join(to, 'opt/comfyume-backup/.env'))).toBe(true)
})
