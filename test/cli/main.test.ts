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
