import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest'
import type { Report } from '../../lib/backup/report.ts'
import { buildVerda, type Verda } from '../scripts/verda.ts'

const project = path.resolve(import.meta.dirname, '../..')

let verda: Verda
beforeEach(() => {
  verda = buildVerda()
})
afterEach(() => verda.dispose())

/** A pipe whose reader has gone away, at descriptor 9. */
const deadPipe = 'mkfifo "$HOME/pipe"; exec 8<>"$HOME/pipe" 9>"$HOME/pipe" 8<&-'

const command = (script: string, args = '') =>
  `${process.execPath} --import tsx ${project}/scripts/${script}.ts ${args}`

async function shell(script: string, env: Record<string, string> = {}) {
  const { exitCode, stdout, stderr } = await execa('bash', ['-c', script], {
    cwd: project,
    env: verda.environment(env),
    extendEnv: false,
    reject: false,
  })
  return { code: exitCode, stdout, stderr }
}

function keptReport(): Report {
  const [name = ''] = readdirSync(path.join(verda.cache, 'runs'))
  return JSON.parse(verda.read(`runs/${name}`).toString())
}

const statuses = ({ items }: Report) => items.map(({ item, status }) => `${item} ${status}`)

describe.each([
  ['a full disk', '>/dev/full 2>&1', 'ENOSPC'],
  ['a full disk, standard error elsewhere', '>/dev/full', 'ENOSPC'],
  ['a reader that went away', '>&9 2>&1', 'EPIPE'],
  ['a descriptor that cannot be written', '1</dev/null 2<&1', 'EBADF'],
])('what is printed goes to %s', (_, redirect, error) => {
  it('the backup is made whole; its report and its exit code say what was lost', async () => {
    const run = await shell(`${deadPipe}; ${command('backup-cron', '--only env,ufw')} ${redirect}`)
    expect(run.stderr).not.toMatch(/^\s+at /m)
    expect(verda.names()).toHaveLength(4)
    expect(verda.checkByHand()).toEqual([])
    const report = keptReport()
    expect(statuses(report)).toEqual(['ufw stored', 'env stored'])
    expect(report).toMatchObject({ ok: false, output: [{ stream: 'stdout', error }], problems: [] })
    expect(run.code).toBe(1)
  })

  it.skipIf(error === 'EBADF')('a restore is carried out whole', async () => {
    await verda.run({ only: ['ufw'] })
    const root = path.join(verda.folder, 'drill')
    const args = `--yes --only ufw --root ${root}`
    const run = await shell(`${deadPipe}; ${command('restore', args)} ${redirect}`)
    expect(run.stderr).not.toMatch(/^\s+at /m)
    expect(readFileSync(path.join(root, 'etc/ufw/user.rules'), 'utf8')).toBe('*filter\nCOMMIT\n')
    expect(existsSync(path.join(root, 'var/lib/comfyume-backup/restoring'))).toBe(false)
    expect(run.code).toBe(1)
  })
})

it('with its output closed, a backup is made like any other', async () => {
  const run = await shell(`${command('backup-cron', '--only env')} >&- 2>&-`)
  expect(verda.names()).toHaveLength(2)
  expect(run.code).toBe(0)
})

it('--quiet prints nothing, so that nothing can be lost', async () => {
  expect((await shell(`${command('backup-cron', '--only env --quiet')} >/dev/full 2>&1`)).code).toBe(0)
})

it('a terminal that goes away in the middle of a run takes nothing with it', async () => {
  const bin = path.join(verda.folder, 'bin')
  mkdirSync(bin)
  const wait = `#!/bin/bash
touch ${verda.folder}/started
until [ -e ${verda.folder}/gone ]; do sleep 0.05; done
exec /usr/bin/tar "$@"
`
  writeFileSync(path.join(bin, 'tar'), wait)
  chmodSync(path.join(bin, 'tar'), 0o755)
  const inner = `stty cols 80; setsid -f bash -c '${command('backup-cron', '--only env')}; echo $? >$HOME/code'
    until [ -e $HOME/started ]; do sleep 0.05; done`
  const terminal = spawn('script', ['--quiet', '--command', inner, '/dev/null'], {
    cwd: project,
    env: { ...verda.environment({ PATH: `${bin}:${process.env.PATH}` }), SHELL: '/bin/bash' },
    stdio: 'ignore',
  })
  await new Promise((resolve) => terminal.once('exit', resolve))
  writeFileSync(path.join(verda.folder, 'gone'), '')
  await expect.poll(() => existsSync(path.join(verda.folder, 'code')), { timeout: 100_000 }).toBe(true)
  const code = path.join(verda.folder, 'code')
  await expect.poll(() => readFileSync(code, 'utf8'), { timeout: 100_000 }).toBe('1\n')
  expect(keptReport()).toMatchObject({ items: [{ item: 'env', status: 'stored' }] })
  expect(keptReport().output?.[0]).toMatchObject({ error: 'EIO' })
})

test.each(['backup-cron', 'demo'])(
  '%s says on the one stream that the other could not be written, and ends with 1',
  async (name) => {
    expect(await shell(`${command(name, '--help')} >/dev/full`)).toEqual({
      code: 1,
      stdout: '',
      stderr: `${name}: standard output could not be written (ENOSPC); nothing else was affected`,
    })
  },
)

it('a reader that has seen enough is told nothing', async () => {
  const run = await shell(`${deadPipe}; ${command('status', '--stores sfs')} >&9`)
  expect(run).toEqual({ code: 1, stdout: '', stderr: '' })
})
