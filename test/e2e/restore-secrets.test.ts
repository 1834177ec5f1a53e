import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Restorable } from '../scripts/restorable.ts'
import { buildSecretWorld, expectNoSecret, settings } from '../scripts/secret-world.ts'

let world: Restorable
beforeAll(async () => {
  world = await buildSecretWorld()
})
afterAll(() => world.dispose())

async function thereIs(file: string): Promise<void> {
  while (!existsSync(file)) await sleep(5)
}

it('law 9: puts no secret on a command line', async () => {
  const run = world.restore(['--yes', '--root', world.drill()], { env: settings, ownProcess: true })
  let over = false
  void run.then(() => {
    over = true
  })
  let seen = ''
  while (!over) {
    seen += execFileSync('ps', ['-eww', '-o', 'args='], { encoding: 'utf8', maxBuffer: 1 << 26 })
    await sleep(30)
  }
  expect(seen).toContain('scripts/restore.ts')
  expectNoSecret(seen, world)
})

it('law 9: gives what it writes the mode that it had, and what it makes for itself to its user alone', async () => {
  const to = world.drill()
  await world.restore(['--yes', '--root', to], { env: settings })
  const modeOf = (file: string) => statSync(path.join(to, file)).mode & 0o7777
  const { mode } = statSync(path.join(world.verda.root, 'etc/ssl/private/workshop.key'))
  expect(modeOf('etc/ssl/private/workshop.key')).toBe(mode & 0o7777)
  for (const secret of [
    'var/lib/tailscale/tailscaled.state',
    'etc/ssh/ssh_host_ed25519_key',
    'home/dev/comfyume-v1/.env',
    'home/dev/comfyume-v1/nginx/.htpasswd',
  ])
    expect(modeOf(secret), secret).toBe(0o600)
  expect(modeOf('home/dev/bin/start')).toBe(0o4755)

  const during = world.drill()
  const marker = path.join(during, 'var/lib/comfyume-backup/restoring')
  await world.restore(['--yes', '--root', during], { env: settings, killAfter: thereIs(marker) })
  // Every user may see that a restore is running: no secret is in it.
  expect(statSync(marker).mode & 0o777).toBe(0o644)
  expect(statSync(path.dirname(marker)).mode & 0o777).toBe(0o711)
  const staging = execFileSync('find', [during, '-name', '.comfyume-restore-*']).toString().split('\n')
  for (const folder of staging.filter(Boolean)) expect(statSync(folder).mode & 0o077, folder).toBe(0)
  expect(readdirSync(world.verda.tmp).filter((name) => name.startsWith('.comfyume'))).toEqual([])
})
