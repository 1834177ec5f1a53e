import { execFileSync, spawnSync } from 'node:child_process'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildVerda, type Verda } from '../scripts/verda.ts'

const project = path.resolve(import.meta.dirname, '../..')

/** A network namespace without even a loopback device. */
let verda: Verda
beforeAll(() => {
  verda = buildVerda()
})
afterAll(() => verda.dispose())

function withoutNetwork(command: string, ...args: string[]) {
  const words = [process.execPath, '--import', 'tsx', path.join(project, `scripts/${command}.ts`), ...args]
  return spawnSync('unshare', ['--net', ...words], {
    cwd: project,
    env: verda.environment() as NodeJS.ProcessEnv,
    encoding: 'utf8',
  })
}

test('there is no network there', () => {
  expect(
    execFileSync('unshare', ['--net', 'cat', '/proc/net/route']).toString().trim().split('\n'),
  ).toHaveLength(1)
})

test('a backup to the share, verify and a restore from it need no network, and wait for none', () => {
  const to = path.join(verda.folder, 'drill')
  const runs = [
    withoutNetwork('backup-cron', '--only', 'env,ufw,home-dev'),
    withoutNetwork('verify', '--store', 'sfs'),
    withoutNetwork('restore', '--only', 'env,ufw,home-dev', '--from', 'sfs', '--yes', '--root', to),
  ]
  expect(runs.map(({ status, stdout, stderr }) => (status === 0 ? 0 : stdout + stderr))).toEqual([0, 0, 0])
  expect(runs.map(({ stderr }) => stderr)).toEqual(['', '', ''])
  execFileSync('diff', ['-r', path.join(verda.root, 'etc/ufw'), path.join(to, 'etc/ufw')])
})
