import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { kinds } from '../faults/kinds.ts'
import type { Result } from '../faults/round.ts'

/** A fixed slice of the fault campaign (`npm run faults`): every kind but the one that takes minutes. */

const folder = mkdtempSync(path.join(tmpdir(), 'faults-slice-'))
afterAll(() => rmSync(folder, { recursive: true }))

const project = path.resolve(import.meta.dirname, '../..')
const chosen = kinds.map(({ name }) => name).filter((name) => name !== 's3-away')

it('no fault of any kind loses a backup, or passes off what is none', { timeout: 1_800_000 }, () => {
  const json = path.join(folder, 'results.json')
  const words = [
    '--seed',
    '20261125',
    '--runs',
    '80',
    '--workers',
    '2',
    '--kind',
    chosen.join(','),
    '--json',
    json,
  ]
  let said: string
  try {
    said = execFileSync('npx', ['tsx', 'test/faults/campaign.ts', ...words], { cwd: project }).toString()
  } catch (error) {
    said = String((error as { stdout: Buffer }).stdout)
  }
  expect(said.split('\n').filter((line) => line.startsWith('FAILED'))).toEqual([])
  expect(said).toMatch(/\n80 passed, 0 failed\n$/)
  expect(said).not.toContain('left out')
  const results = JSON.parse(readFileSync(json, 'utf8')) as Result[]
  expect([...new Set(results.map(({ kind }) => kind))].sort()).toEqual([...chosen].sort())
  // Faults that come too late break nothing and prove nothing.
  expect(results.filter(({ ending }) => ending !== 'too late').length).toBeGreaterThan(55)
})

it('a wrong flag is an error that says what can be', () => {
  const wrong = (...words: string[]) => {
    try {
      execFileSync('npx', ['tsx', 'test/faults/campaign.ts', ...words], { cwd: project, stdio: 'pipe' })
      return [0, '']
    } catch (error) {
      const { status, stderr } = error as { status: number; stderr: Buffer }
      return [status, stderr.toString()]
    }
  }
  expect(wrong('--kind', 'earthquake')).toEqual([2, expect.stringContaining('earthquake: not known here')])
  expect(wrong('--runs', 'many')).toEqual([2, expect.stringContaining('--runs takes a whole number')])
  expect(wrong('--help')).toEqual([0, ''])
})
