import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { passThrough } from '../../../lib/restore/files/paths.ts'

test('a folder that several need at once is made once, and every one of them gets it', async () => {
  const root = mkdtempSync(path.join(tmpdir(), 'paths-'))
  const folder = path.join(root, 'models/loras')
  const held = await Promise.all(Array.from({ length: 10 }, () => passThrough(folder, root)))
  for (const each of held) await each[Symbol.asyncDispose]()
  expect(statSync(folder).mode & 0o777).toBe(0o755)
  rmSync(root, { recursive: true })
})
