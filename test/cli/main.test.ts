import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { buildVerda, type Verda } from '../scripts/verda.ts'

let verda: Verda
beforeEach(() => {
  verda = buildVerda()
})
afterEach(() => verda.dispose())

/** Found by the fault campaign (seed 1, fault 11). */
it('what the system refuses is told in its words, without a stack', async () => {
  await verda.run({ only: ['ufw'] })
  const root = path.join(verda.folder, 'drill')
  const preload = path.resolve(import.meta.dirname, '../faults/fault-at.mjs')
  const env = {
    NODE_OPTIONS: `--import=${preload}`,
    FAULT_AT: JSON.stringify({ below: [root], at: 2, how: 'ENOSPC' }),
  }
  const run = await verda.restore(['--yes', '--only', 'ufw', '--root', root], { env })
  expect(run.code).toBe(1)
  expect(run.stderr).toMatch(/^restore: ENOSPC: .*drill/m)
  expect(run.stderr).not.toMatch(/^\s+at /m)
})

it('a command that waits for nothing that comes is no success', () => {
  const lib = path.resolve(import.meta.dirname, '../../lib/cli/main.ts')
  const script = path.join(verda.folder, 'stuck.mts')
  writeFileSync(
    script,
    `import { main } from ${JSON.stringify(lib)}
    const manual = { command: 'stuck', summary: '', description: '', flags: [], examples: [], settings: [], exits: [] }
    await main(import.meta.url, manual, () => new Promise(() => {}))`,
  )
  const tsx = import.meta.resolve('tsx')
  const run = spawnSync(process.execPath, ['--import', tsx, script], { timeout: 100_000, encoding: 'utf8' })
  expect(run).toMatchObject({ status: 1, stderr: '' })
})

it.each([
  ['statsu', 'status'],
  ['cron', 'backup-cron'],
  ['restroe', 'restore'],
])('the wrapper says of %s that %s may be meant', (typed, meant) => {
  const wrapper = path.resolve(import.meta.dirname, '../../scripts/comfyume-backup')
  const run = spawnSync(wrapper, [typed], { encoding: 'utf8' })
  expect(run.status).toBe(2)
  expect(run.stderr).toContain(`no command ${typed}; did you mean ${meant}?\n`)
})
