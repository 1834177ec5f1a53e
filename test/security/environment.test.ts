import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildVerda, type Verda } from '../scripts/verda.ts'

/** What cron, sudo or a login may have left in the environment, as wrong as it can be. */
let filled: Record<string, string>
let verda: Verda
const planted = () => path.join(verda.folder, 'planted')

beforeAll(() => {
  verda = buildVerda()
  verda.write('etc/ufw/applications.d/web', '[web]\n')
  const startUp = path.join(verda.folder, 'start-up')
  writeFileSync(startUp, `touch ${planted()}\n`)
  filled = {
    TAR_OPTIONS: '--exclude=*.rules --mode=0777 --strip-components=1',
    GZIP: '-1',
    PIGZ: '-1',
    GREP_OPTIONS: '-v',
    POSIXLY_CORRECT: '1',
    BASH_ENV: startUp,
    ENV: startUp,
    IFS: '/',
    CDPATH: verda.folder,
    GLOBIGNORE: '*',
    SHELLOPTS: 'xtrace',
    'BASH_FUNC_tar%%': `() { touch ${planted()}; }`,
    'BASH_FUNC_find%%': `() { touch ${planted()}; }`,
    LC_ALL: 'tr_TR.UTF-8',
    LANGUAGE: 'de',
    TZ: 'Pacific/Kiritimati',
    GIT_DIR: verda.folder,
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'core.fsmonitor',
    GIT_CONFIG_VALUE_0: `touch ${planted()}`,
  }
})
afterAll(() => verda.dispose())

test('the same files give the same archives, in a clean environment and in a wrong one', async () => {
  const first = await verda.cron(['--only', 'ufw,env,fail2ban'])
  expect(first.code, first.stderr).toBe(0)
  const clean = ['ufw', 'env', 'fail2ban'].map((item) => verda.read(`config/${item}-2026-11-24.tar.gz`))
  execFileSync('rm', ['-r', verda.cache])
  const second = await verda.cron(['--only', 'ufw,env,fail2ban'], { env: filled })
  expect(second.code, second.stderr).toBe(0)
  const wrong = ['ufw', 'env', 'fail2ban'].map((item) => verda.read(`config/${item}-2026-11-24.tar.gz`))
  expect(wrong.map((archive, index) => archive.equals(clean[index] as Buffer))).toEqual([true, true, true])
  expect(existsSync(planted())).toBe(false)
})

test('a restore puts the same files back, with the same modes and times', async () => {
  const to = path.join(verda.folder, 'drill')
  // Something is there, so that folders are met that have to keep their times.
  execFileSync('bash', [
    '-c',
    'mkdir -p "$1/etc/ufw/applications.d" && echo old >"$1/etc/ufw/user.rules"',
    'x',
    to,
  ])
  const run = await verda.restore(['--only', 'ufw', '--from', 'sfs', '--yes', '--root', to], { env: filled })
  expect(run.code, run.stdout + run.stderr).toBe(0)
  const look = (root: string) =>
    execFileSync('find', ['.', '-printf', '%P %y %m %T@\n'], { cwd: path.join(root, 'etc/ufw') })
      .toString()
      .split('\n')
      .sort()
  expect(look(to)).toEqual(look(verda.root))
  expect(readFileSync(path.join(to, 'etc/ufw/user.rules'), 'utf8')).toBe('*filter\nCOMMIT\n')
  expect(existsSync(planted())).toBe(false)
})
