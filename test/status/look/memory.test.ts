import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Memory, recall, remember } from '../../../lib/status/look/memory.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'memory-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const memory: Memory = {
  verdaOff: new Date('2026-11-24T10:00:00Z'),
  sfs: {
    store: 'sfs',
    title: 'SFS cache',
    state: 'seen',
    at: new Date('2026-11-24T09:00:00Z'),
    files: [{ key: 'config/a', bytes: 3, modified: new Date('2026-11-24T08:00:00Z'), content: '1:2' }],
    texts: { 'config/a.sha256': 'text' },
  },
  models: { where: 'PROD_SFS', files: [{ path: 'loras/a.safetensors', bytes: 1 }] },
}

test('what was remembered comes back, from a file that only this user reads', async () => {
  const file = path.join(folder, 'state/of/status.json')
  await remember(file, memory)
  expect(await recall(file)).toEqual(memory)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readdirSync(path.dirname(file))).toEqual(['status.json'])
})

test.each([
  '',
  'null',
  '[1]',
  '{"sfs":7}',
  '{"sfs":{"files":null}}',
  '{"verdaOff":"soon"}',
  // Found by test/fuzz: what status took from these broke it.
  '{"models":7}',
  '{"models":{"where":"PROD_SFS"}}',
  '{"models":{"where":"PROD_SFS","files":[{"bytes":1}]}}',
  '{"sfs":{"title":"SFS","at":"2026-11-24T09:00:00Z","files":[]}}',
  '{"sfs":{"title":"SFS","at":"soon","files":[],"texts":{}}}',
  '{"sfs":{"title":"SFS","at":"2026-11-24T09:00:00Z","files":[{}],"texts":{}}}',
  '{"sfs":{"title":"SFS","at":"2026-11-24T09:00:00Z","files":[],"texts":{"a":7}}}',
])('a file with %j in it is forgotten', async (text) => {
  const file = path.join(folder, 'status.json')
  writeFileSync(file, text)
  expect(await recall(file)).toEqual({})
})

test('where there is no file, nothing is remembered', async () => {
  expect(await recall(path.join(folder, 'none'))).toEqual({})
})
