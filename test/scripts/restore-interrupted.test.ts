import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildRestorable, expectWhole, night, outcomeOf, type Restorable, reportOf } from './restorable.ts'

/** An interrupted restore is simply run again; until then the half-restored machine is not backed up. */

let world: Restorable
beforeAll(async () => {
  world = await buildRestorable({ quick: true })
})
afterAll(() => world.dispose())

const marker = (to: string) => path.join(to, 'var/lib/comfyume-backup/restoring')

it('after a kill the marker is there and keeps backup-cron from capturing, until the restore is run to its end', async () => {
  const to = world.drill()
  await world.restore(['--yes', '--json', '--root', to], {
    killAfter: thereIs(path.join(to, 'etc/fail2ban')),
  })
  expect(readFileSync(marker(to), 'utf8')).toMatch(
    /^# The restore of these items is not finished[\s\S]*\ntailscale\n/,
  )
  const env = { VERDA_ROOT: to, SFS_ROOT: path.join(world.verda.folder, 'other-share'), BACKUP_NOW: night }
  const refused = await world.verda.cron(['--only', 'ufw'], { env: { ...env, SFS_CACHE: '' } })
  expect(refused.code).toBe(1)
  expect(refused.stdout).toMatch(/FAILED|failed/)
  expect(refused.stdout).toContain('is half restored (/var/lib/comfyume-backup/restoring is there)')

  // One item alone does not make the machine whole.
  const one = await world.restore(['--only', 'env', '--yes', '--json', '--root', to])
  expect(one.code).toBe(0)
  expect(reportOf(one).pending).toContain('tailscale')
  expect(one.stderr).toMatch(/this machine is not backed up until tailscale, .* are back/)
  await expectWhole(world, to)
})

it('Ctrl-C in the middle: says that it is to be run again, and ends as the signal wants', async () => {
  const to = world.drill()
  const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/restore.ts', '--yes', '--root', to], {
    env: world.verda.environment({ BACKUP_NOW: night }),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (data) => {
    stderr += data
  })
  child.stdout.resume()
  await thereIs(marker(to))
  child.kill('SIGINT')
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on('close', (...ending) => resolve(ending)),
  )
  expect([code, signal]).toEqual([null, 'SIGINT'])
  expect(stderr).toContain('restore: broken off. Run it again')
  await expectWhole(world, to)
})

it('of two at once the second ends with 75 and names the first; another folder is no matter of theirs', async () => {
  const to = world.drill()
  world.r2.fail({ operation: 'ListObjectsV2', how: 'stall', times: 1 })
  const first = world.restore(['--only', 'env', '--yes', '--json', '--root', to], { ownProcess: true })
  while (!world.r2.log.some(({ fault }) => fault === 'stall')) await sleep(20)
  const second = await world.restore(['--only', 'env', '--yes', '--json', '--root', to])
  expect([second.code, second.stdout]).toEqual([75, ''])
  expect(second.stderr).toMatch(new RegExp(`another restore to ${to} is running: pid \\d+ \\(restore since `))
  const elsewhere = await world.restore([
    '--only',
    'env',
    '--yes',
    '--json',
    '--from',
    'sfs',
    '--root',
    world.drill(),
  ])
  expect(elsewhere.code).toBe(0)
  expect(outcomeOf(await first, 'env').status).toBe('restored')
})

it('a second whole run puts nothing aside', async () => {
  const to = world.drill()
  await expectWhole(world, to)
  const run = await expectWhole(world, to)
  expect(reportOf(run).keptAside).toBeUndefined()
  expect(readdirSync(path.join(to, 'var/lib'))).toEqual(['tailscale'])
})

async function thereIs(file: string): Promise<void> {
  while (!existsSync(file)) await sleep(5)
}
