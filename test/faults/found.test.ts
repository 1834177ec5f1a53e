import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { buildVerda, settle, type Verda } from '../scripts/verda.ts'
import { plant } from './fault-at.mjs'
import { type FaultAt, runScript } from './run.ts'

/** What the fault campaign found, each with the seed that found it. */

let verda: Verda
beforeEach(() => {
  verda = buildVerda()
})
afterEach(() => verda.dispose())

const run = (command: string, args: string[], faultAt?: FaultAt, env: Record<string, string> = {}) =>
  runScript(command, args, {
    env: verda.environment(env) as Record<string, string>,
    ...(faultAt && { faultAt }),
  })

/** A backup of env at each call in turn of which the disk says EIO: `before` each, and `after` each that failed. */
async function failingAtEach(before: () => unknown, after: (what: string) => void) {
  let failed = 0
  for (let at = 0, over = false; !over; at++) {
    await before()
    plant({ below: [path.join(verda.cache, 'config')], at, how: 'EIO' })
    const { code } = await verda.run().finally(() => plant({ below: [] }))
    over = code === 0 && at > 20
    failed += code
    after(`EIO at call ${at}`)
  }
  expect(failed).toBeGreaterThan(10)
}

const empty = () => rmSync(verda.cache, { recursive: true, force: true })

/** Seed 3, fault 43. */
it('a share that fails just after a new archive got its name leaves no archive without its record', async () => {
  await failingAtEach(empty, (what) => {
    const archives = verda.names().filter((name) => name.endsWith('.tar.gz'))
    expect(
      archives.filter((name) => !verda.names().includes(`${name}.sha256`)),
      what,
    ).toEqual([])
    expect(verda.checkByHand(), what).toEqual([])
  })
})

it('a share that fails while the day’s archive is replaced leaves one that fits its record', async () => {
  let content = 0
  const before = async () => {
    empty()
    await verda.run({ now: '2026-11-24T09:00:00Z' })
    verda.write('home/dev/comfyume-v1/.env', `PASSWORD=number-${content++}-of-user001\n`, 0o600)
    settle()
  }
  await failingAtEach(before, (what) => {
    expect(verda.names(), what).toContain('env-2026-11-24.tar.gz.sha256')
    expect(verda.checkByHand(), what).toEqual([])
  })
})

/** Seed 3, fault 12. */
it('a note of what was verified that could not be written, or whose writer was killed, is not left lying about', async () => {
  await verda.run()
  const state = path.join(verda.folder, 'state')
  const notes = () => readdirSync(path.join(state, 'comfyume-backup/verify'))
  const verify = (how?: string) =>
    run('verify', ['--json', '--store', 'sfs'], how ? { below: [state], at: 3, how } : undefined)
  const failed = await verify('ENOSPC')
  expect([failed.code, failed.stderr]).toEqual([0, expect.stringContaining('cannot be remembered')])
  expect(notes()).toEqual([])
  await verify()
  const [note] = notes() as [string]
  writeFileSync(path.join(state, 'comfyume-backup/verify', `${note}.4194305`), 'half of')
  await verify()
  expect(notes()).toEqual([note])
  expect(existsSync(path.join(state, 'comfyume-backup/verify', note))).toBe(true)
})
