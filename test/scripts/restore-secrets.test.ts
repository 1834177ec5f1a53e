import { readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildRestorable, type Restorable } from './restorable.ts'

let world: Restorable
const canary = (of: string) => `canary-of-${of}`
const settings = {
  R2_SECRET_ACCESS_KEY: '',
  HETZNER_ENDPOINT: 'http://127.0.0.1:9',
  HETZNER_ACCESS_KEY_ID: canary('hetzners-key'),
  HETZNER_SECRET_ACCESS_KEY: canary('hetzners-secret'),
  TAILSCALE_AUTHKEY: canary('tailscale'),
  BACKUP_PING_URL: `https://ping.invalid/${canary('ping')}`,
  SCRIPTS_REPO: `https://somebody:${canary('scripts')}@127.0.0.1:9/scripts.git`,
}
beforeAll(async () => {
  world = await buildRestorable({ quick: true })
  settings.R2_SECRET_ACCESS_KEY = world.r2.secretAccessKey
  world.verda.write('home/dev/comfyume-v1/.env', `ADMIN_PASSWORD=${canary('env')}\n`, 0o600)
  world.workshop.write('home/dev/comfyume-v1/nginx/.htpasswd', `user001:${canary('htpasswd')}\n`)
  const env = { BACKUP_NOW: '2026-11-24T18:00:00Z' }
  await world.verda.cron(['--only', 'env,home-dev'], { env })
  await world.workshop.backupMello(['--only', 'credentials'], env)
})
afterAll(() => world.dispose())

function expectNoSecret(text: string): void {
  expect(text).not.toContain('canary-of-')
  expect(text).not.toContain(world.r2.secretAccessKey)
}

it('law 9: shows no secret of its settings, nor of what it restores, in the plan, the report, the lines and what fails', async () => {
  const to = world.drill()
  const runs = [
    await world.restore(['--dry-run', '--json', '--root', to], { env: settings }),
    await world.restore(['--yes', '--json', '--root', to], { env: settings }),
    await world.restore(['--yes', '--root', to], { env: settings }),
    await world.restore(
      ['--only', 'scripts,credentials', '--from', 'git', '--yes', '--root', world.drill()],
      {
        env: { ...settings, CREDENTIALS_REPO: `https://somebody:${canary('repository')}@127.0.0.1:9/x.git` },
      },
    ),
    await world.restore(['--only', 'env', '--yes', '--root', world.drill()], {
      env: { ...settings, R2_SECRET_ACCESS_KEY: canary('wrong-secret') },
    }),
    await world.restore(['--yes', '--root', to], {
      env: { ...settings, SFS_PROD: 'x', BACKUP_PING_URL: canary('ping') },
    }),
  ]
  expect(runs.map(({ code }) => code)).toEqual([0, 0, 0, 1, 0, 2])
  for (const { stdout, stderr } of runs) expectNoSecret(stdout + stderr)
  expect(runs[3]?.stdout).toMatch(/FAILED credentials: .*127\.0\.0\.1:9\/x\.git cannot be cloned/)
  expect(readFileSync(path.join(to, 'home/dev/comfyume-v1/.env'), 'utf8')).toContain(canary('env'))
})
