import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readCrontab } from '../../lib/crontab.ts'

const project = path.resolve(import.meta.dirname, '../..')
/** A temporary folder in which somebody made tsx's own before root ever ran it. */
let tmp: string
let cache: string

beforeAll(() => {
  tmp = mkdtempSync(path.join(tmpdir(), 'planted-'))
  cache = path.join(tmp, `tsx-${process.geteuid?.()}`)
  mkdirSync(cache)
  chmodSync(cache, 0o777)
  expect(run({}).status).toBe(0)
  expect(readdirSync(cache).length).toBeGreaterThan(5)
  for (const name of readdirSync(cache)) {
    const file = path.join(cache, name)
    const entry = entryIn(file)
    writeFileSync(
      file,
      JSON.stringify({ ...entry, code: `process.stderr.write('planted\\n');${entry.code ?? ''}` }),
    )
  }
})
afterAll(() => rmSync(tmp, { recursive: true }))

/** The command may end while tsx is still writing an entry. */
function entryIn(file: string): { code?: string } {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return {}
  }
}

function run(env: Record<string, string>) {
  const { PATH = '' } = process.env
  const tsx = path.join(project, 'node_modules/.bin/tsx')
  return spawnSync(tsx, [path.join(project, 'scripts/backup-cron.ts'), '--help'], {
    env: { HOME: tmp, TMPDIR: tmp, ...env, PATH },
    encoding: 'utf8',
  })
}

test.each(['verda', 'mello'])(
  'what is planted in the cache of tsx is not run from the crontab of %s',
  (host) => {
    const { variables } = readCrontab(readFileSync(path.join(project, 'crontab', host), 'utf8'))
    const { status, stderr } = run(variables)
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  },
)

test('it would be run without what the crontab says', () => {
  expect(run({}).stderr).toContain('planted')
})
