import { readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Restorable } from './restorable.ts'
import { buildSecretWorld, canary, expectNoSecret, settings } from './secret-world.ts'

let world: Restorable
beforeAll(async () => {
  world = await buildSecretWorld()
})
afterAll(() => world.dispose())

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
  for (const { stdout, stderr } of runs) expectNoSecret(stdout + stderr, world)
  expect(runs[3]?.stdout).toMatch(/FAILED credentials: .*127\.0\.0\.1:9\/x\.git cannot be cloned/)
  expect(readFileSync(path.join(to, 'home/dev/comfyume-v1/.env'), 'utf8')).toContain(canary('env'))
})
