import { chmodSync, chownSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildClinic, type Clinic } from '../scripts/clinic.ts'

let clinic: Clinic
beforeAll(async () => {
  clinic = await buildClinic()
  clinic.dotEnv('')
})
afterAll(() => clinic.dispose())

it('on Verda: names who else could put an archive or a program of theirs there, and keys that lie there, without a word of them', async () => {
  clinic.crontab(clinic.ownCrontab('verda'))
  const { verda } = clinic.workshop
  verda.put('config/x', '')
  chmodSync(verda.cache, 0o1777)
  if (process.getuid?.() === 0) chownSync(path.join(clinic.toolkit, '.env'), 1234, 1234)
  if (process.getuid?.() === 0) chownSync(path.join(verda.cache, 'config'), 1234, 1234)
  else chmodSync(path.join(verda.cache, 'config'), 0o777)
  chmodSync(path.join(clinic.toolkit, 'bin'), 0o777)
  verda.write('home/dev/comfyume-v1/.env', 'PASSWORD=x\nR2_SECRET_ACCESS_KEY=canary-of-r2\n', 0o600)
  verda.write('root/.aws/credentials', '[default]\naws_secret_access_key = canary-of-aws\n', 0o600)
  verda.write('home/dev/.config/rclone/rclone.conf', '[r2]\nsecret_access_key = canary-of-rclone\n', 0o600)
  const cache = path.join(verda.tmp, `tsx-${process.geteuid?.()}`)
  mkdirSync(cache, { recursive: true })
  chmodSync(cache, 0o777)
  const none = { R2_ENDPOINT: '', R2_ACCESS_KEY_ID: '', R2_SECRET_ACCESS_KEY: '' }
  const { code, lines } = await clinic.complaints('verda', none)
  expect(code).toBe(1)
  expect(lines).toEqual([
    `wrong settings cache of tsx: ${cache} has mode 0777: others can write to it, and tsx runs its content with this user's rights`,
    ...(process.getuid?.() === 0
      ? [
          `wrong settings toolkit: ${clinic.toolkit}/.env belongs to user number 1234, who can write to it, and cron runs the toolkit with this user's rights`,
        ]
      : []),
    `wrong settings toolkit: ${clinic.toolkit}/bin has mode 0777: others can write to it, and cron runs the toolkit with this user's rights`,
    `warning settings keys of others: ${[
      'home/dev/comfyume-v1/.env',
      'root/.aws/credentials',
      'home/dev/.config/rclone/rclone.conf',
    ]
      .map((file) => path.join(verda.root, file))
      .join(', ')}: keys of an object store are on Verda, and in its backups`,
    `wrong stores sfs folder: ${verda.cache} has mode 01777: others can write to it, and a restore would use an archive that they put there`,
    expect.stringMatching(
      /^wrong stores sfs folder: \S+\/config (?:belongs to user number 1234, who can write to it|has mode 0777: others can write to it), and a restore would use an archive that they put there$/,
    ),
  ])
  expect(lines.join()).not.toContain('canary')
  chmodSync(path.join(clinic.toolkit, 'bin'), 0o755)
})
