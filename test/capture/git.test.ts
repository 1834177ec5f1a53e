import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { git } from '../../lib/capture/git.ts'

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
