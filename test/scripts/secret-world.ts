import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { buildRestorable, type Restorable } from './restorable.ts'

/** Of this process alone: other tests' processes are no leak. */
const mark = `canary-${randomBytes(8).toString('hex')}`
/** Settings and files that hold secrets, each with this mark in it but for the key of R2. */
export const canary = (of: string) => `${mark}-of-${of}`
export const settings = {
  R2_SECRET_ACCESS_KEY: '',
  HETZNER_ENDPOINT: 'http://127.0.0.1:9',
  HETZNER_ACCESS_KEY_ID: canary('hetzners-key'),
  HETZNER_SECRET_ACCESS_KEY: canary('hetzners-secret'),
  TAILSCALE_AUTHKEY: canary('tailscale'),
  BACKUP_PING_URL: `https://ping.invalid/${canary('ping')}`,
  SCRIPTS_REPO: `https://somebody:${canary('scripts')}@127.0.0.1:9/scripts.git`,
}

/** A workshop that is backed up with these files; the key of R2 is put into `settings`. */
export async function buildSecretWorld(): Promise<Restorable> {
  const world = await buildRestorable({ quick: true })
  settings.R2_SECRET_ACCESS_KEY = world.r2.secretAccessKey
  world.verda.write('home/dev/comfyume-v1/.env', `ADMIN_PASSWORD=${canary('env')}\n`, 0o600)
  world.workshop.write('home/dev/comfyume-v1/nginx/.htpasswd', `user001:${canary('htpasswd')}\n`)
  const env = { BACKUP_NOW: '2026-11-24T18:00:00Z' }
  await world.verda.cron(['--only', 'env,home-dev'], { env })
  await world.workshop.backupMello(['--only', 'credentials'], env)
  return world
}

export function expectNoSecret(text: string, world: Restorable): void {
  expect(text).not.toContain(mark)
  expect(text).not.toContain(world.r2.secretAccessKey)
}
