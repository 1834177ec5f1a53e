import { existsSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { night } from '../scripts/restorable.ts'
import { buildVerda, type RunOptions, type Verda } from '../scripts/verda.ts'

/** What a restore does not begin: a user who may not, a question that is not answered with yes. */

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

const asked = /Type yes to begin: /

it.runIf(process.getuid?.() === 0)(
  'exit 2 for whoever is not root and would restore the machine',
  async () => {
    const run = await restore(['--yes'], { uid: 65534, env: { VERDA_ROOT: '', TMPDIR: '/tmp' } })
    expect([run.code, run.stdout]).toEqual([2, ''])
    expect(run.stderr).toContain('restoring this machine takes root')
  },
)

it.each([
  ['yes', 'yes\n', 0, []],
  ['y', 'y\n', 0, ['--quiet']],
  ['no', 'no\n', 2, ['--quiet']],
  ['Enter', '\n', 2, []],
  ['Ctrl-C', '\u0003', 2, []],
  ['Ctrl-D', '\u0004', 2, []],
])(
  'asks once on a terminal, one without a width too, and after the plan; the answer %s',
  async (_name, type, code, flags) => {
    const to = drill()
    const run = await restore(['--only', 'env', ...flags, '--root', to], {
      answers: [{ when: asked, type }],
    })
    expect(run.code, run.stdout).toBe(code)
    expect(run.stdout).toMatch(/ env +sfs +config\/env-2026-11-24\.tar\.gz[\s\S]*Type yes to begin/)
    expect(run.stdout).not.toMatch(/^ +at /m)
    expect(existsSync(to)).toBe(code === 0)
    if (code !== 0) expect(run.stdout).toContain('cancelled; nothing was changed')
  },
)
