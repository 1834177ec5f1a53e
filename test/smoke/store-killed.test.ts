import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { rotatingDirectoryStore } from '../../lib/stores/directory/rotating.ts'
import type { RotatingStore } from '../../lib/stores/store.ts'

let root: string
let store: RotatingStore
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'directory-'))
  store = rotatingDirectoryStore({ name: 'sfs', root })
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const at = (key: string) => path.join(root, key)
const names = (folder = '') => readdirSync(at(folder)).sort()
const key = 'a-2026-11-24.tar.gz'

test('partial files of a killed process are gone after the next probe of their folder', async () => {
  const module = new URL('../../lib/stores/directory/rotating.ts', import.meta.url).href
  const code = `const { rotatingDirectoryStore } = await import('${module}')
    const { Readable } = await import('node:stream')
    async function* body() { yield Buffer.alloc(100_000); console.log('writing'); await new Promise(() => setInterval(() => {}, 1000)) }
    await rotatingDirectoryStore({ name: 'sfs', root: ${JSON.stringify(root)} }).replace('config/${key}', Readable.from(body()), () => '')`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  await vi.waitFor(() => expect(names('config')).toHaveLength(1))
  await store.probe('config/')
  expect(names('config'), 'its owner lives').toHaveLength(1)
  child.kill('SIGKILL')
  await once(child, 'close')
  await store.probe('config/')
  expect(names('config')).toEqual([])
})
