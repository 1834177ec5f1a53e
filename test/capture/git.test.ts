import { execFileSync } from 'node:child_process'
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { git } from '../../lib/capture/repository.ts'

test('what git says of an address that holds a password is told without it', async () => {
  const { exitCode, stderr } = await git(
    tmpdir(),
    ['--exec-path=/nowhere', 'https://user:t0ken@host/x.git'],
    {
      address: '',
      environment: {},
    },
  )
  expect(exitCode).not.toBe(0)
  expect(stderr).toContain('://host/x.git')
  expect(stderr).not.toContain('t0ken')
})

test('git works in the folder that it is given, whatever the environment says, and gets none of our keys', async () => {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'git-')))
  const filled: Record<string, string> = {
    GIT_DIR: path.join(folder, 'other/.git'),
    GIT_WORK_TREE: path.join(folder, 'other'),
    GIT_INDEX_FILE: path.join(folder, 'index'),
    GIT_TRACE: '1',
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'core.sshCommand',
    GIT_CONFIG_VALUE_0: 'touch /tmp/planted',
    GIT_SSH: 'planted',
    R2_SECRET_ACCESS_KEY: 'planted',
  }
  for (const name of ['own', 'other']) execFileSync('git', ['init', '--quiet', path.join(folder, name)])
  Object.assign(process.env, filled)
  try {
    const ask = (...args: string[]) => git(path.join(folder, 'own'), args, { address: '', environment: {} })
    expect(await ask('rev-parse', '--absolute-git-dir')).toEqual({
      exitCode: 0,
      stdout: path.join(folder, 'own/.git'),
      stderr: '',
    })
    const { stdout } = await ask('-c', 'alias.show-environment=!env', 'show-environment')
    expect(stdout).toContain('GIT_TERMINAL_PROMPT=0')
    expect(stdout).toMatch(/^GIT_SSH_COMMAND=ssh .*-o ForwardAgent=no .*-o StrictHostKeyChecking=yes/m)
    expect(stdout).not.toContain('planted')
  } finally {
    for (const name of Object.keys(filled)) delete process.env[name]
    rmSync(folder, { recursive: true })
  }
})
