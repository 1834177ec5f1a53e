import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { restoringMarker } from '../../lib/inventory.ts'
import { buildVerda, itemOf, reportOf, type Verda } from '../scripts/verda.ts'

let verda: Verda
beforeEach(() => {
  verda = buildVerda()
})
afterEach(() => verda.dispose())

test('two real runs started together: every item is backed up by one of them, once', async () => {
  const run = () => verda.cron(['--json'], { ownProcess: true })
  const runs = await Promise.all([run(), run()])
  for (const { code } of runs) expect([0, 1, 75]).toContain(code)
  for (const item of ['tailscale', 'ssh-host-keys', 'fail2ban', 'ufw', 'env'])
    expect(runs.filter((run) => itemOf(reportOf(run), item).status === 'stored')).toHaveLength(1)
  expect(verda.checkByHand()).toEqual([])
})

test('Ctrl-C says what was done and what was not, and how to do the rest', async () => {
  const engine = path.join(verda.folder, 'engine')
  writeFileSync(engine, `#!/bin/sh\ntouch ${engine}.asked\nexec sleep 60\n`, { mode: 0o755 })
  const run = await verda.cron(['--only', 'env,comfyume-worker'], {
    env: { CONTAINER_ENGINE: engine },
    async onStart(pid) {
      while (!existsSync(`${engine}.asked`)) await setTimeout(20)
      process.kill(pid, 'SIGINT')
    },
  })
  expect(run.signal).toBe('SIGINT')
  expect(run.stdout).toContain(' stored env -> sfs: ')
  expect(run.stderr.trim()).toBe(
    'backup-cron: interrupted. Done: env. Not done: comfyume-worker. ' +
      'What was half sent does not count. ' +
      'Earlier copies stay, except those on SFS that a verified new one replaced or rotated away.\n' +
      'To do the rest (what is done is only compared): comfyume-backup backup-cron --only env,comfyume-worker',
  )
})

test('a run in the bare environment of cron, from another folder, does its work', async () => {
  mkdirSync(path.join(verda.folder, 'elsewhere'))
  const project = path.resolve(import.meta.dirname, '../..')
  const child = spawn(
    path.join(project, 'node_modules/.bin/tsx'),
    [path.join(project, 'scripts/backup-cron.ts')],
    {
      cwd: path.join(verda.folder, 'elsewhere'),
      env: { ...verda.settings, PATH: `${path.dirname(process.execPath)}:/usr/bin:/bin`, HOME: verda.folder },
      stdio: 'ignore',
    },
  )
  const [code] = await once(child, 'close')
  expect(code).toBe(0)
  expect(readdirSync(path.join(verda.cache, 'config'))).toHaveLength(10)
})

test.runIf(process.getuid?.() === 0)(
  'a user who cannot see whether a restore is running backs nothing up',
  async () => {
    const uid = 54_321
    verda.write(restoringMarker, '')
    const folder = path.join(verda.root, path.dirname(restoringMarker))
    execFileSync('chown', ['-R', `${uid}:${uid}`, verda.folder])
    execFileSync('chown', ['-R', '0:0', folder])
    const reason = async (mode: number) => {
      chmodSync(folder, mode)
      return itemOf(reportOf(await verda.cron(['--json', '--only', 'env'], { uid })), 'env').reason
    }
    expect(await reason(0o711)).toContain('verda is half restored')
    expect(await reason(0o700)).toContain('is half restored. On verda run: sudo chmod 711')
    expect(verda.names()).toEqual([])
  },
)
