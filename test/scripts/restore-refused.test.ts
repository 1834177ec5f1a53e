import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { night } from './restorable.ts'
import { buildVerda, type RunOptions, type Verda } from './verda.ts'

/** What a restore refuses: wrong flags and settings, and a question not answered with yes. */

let verda: Verda
let drills = 0
const drill = () => path.join(verda.folder, `drill-${drills++}`)
beforeAll(async () => {
  verda = buildVerda()
  await verda.run()
})
afterAll(() => verda.dispose())

const restore = (args: string[], { env, ...options }: RunOptions = {}) =>
  verda.restore(args, { env: { BACKUP_NOW: night, ...env }, ...options })

it.each([
  [['--at', '2026-11-31'], '--at takes a day or an hour in UTC, as archives are named'],
  [['--prefer', 'oldest'], '--prefer takes order or newest'],
  [['--from', 'tape'], 'copies come from root, sfs, r2, hetzner, mello, git'],
  [['--only', 'everything'], 'restore brings back tailscale, ssh-host-keys'],
  [['--what'], '--what is not known; did you mean --at? Known are --yes'],
  [['--nothing-like-it'], '--nothing-like-it is not known. Known are --yes'],
])('exit 2 for the wrong flags %j, before anything is begun', async (args, words) => {
  const to = drill()
  const run = await restore([...args, '--yes', '--root', to])
  expect([run.code, run.stdout]).toEqual([2, ''])
  expect(run.stderr).toContain(words)
  expect(run.stderr).not.toMatch(/^ +at /m)
  expect(existsSync(to)).toBe(false)
})

it.each([
  [{ ENVIRONMENT: 'prod' }, [], 'ENVIRONMENT must be one of production, staging, testing'],
  [{}, ['--from', 'r2'], 'R2_ACCESS_KEY_ID is missing'],
  [{ R2_ENDPOINT: 'https://a.r2.cloudflarestorage.com' }, [], 'R2_ENDPOINT lacks .eu'],
  [{ SFS_PROD: 'no share' }, [], 'SFS_PROD must be an NFS share as host:/path'],
])('exit 2 for the wrong settings %j', async (env, args, words) => {
  const run = await restore([...args, '--yes', '--root', drill()], { env })
  expect([run.code, run.stdout]).toEqual([2, ''])
  expect(run.stderr).toContain(words)
})

it('exit 2 in words for a --root that cannot be one', async () => {
  const file = path.join(verda.folder, 'a file')
  writeFileSync(file, '')
  for (const root of [file, path.join(file, 'below'), '/proc/nothing']) {
    const run = await restore(['--only', 'env', '--yes', '--root', root])
    expect(run.code, root).toBe(2)
    expect(run.stderr).toMatch(/^restore: --root .*(is not a folder|cannot be created)/)
    expect(run.stderr).not.toMatch(/^ +at /m)
  }
})

it('exit 2 without a terminal to ask and without --yes, before it looks anywhere', async () => {
  const to = drill()
  const run = await restore(['--root', to])
  expect([run.code, run.stdout]).toEqual([2, ''])
  expect(run.stderr).toContain('give --yes')
  expect(existsSync(to)).toBe(false)
})
