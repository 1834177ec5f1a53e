import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { removeTree, withScratch } from '../../../lib/files/scratch.ts'
import type { Source } from '../../../lib/inventory.ts'
import { withStaging } from '../../../lib/restore/files/staging.ts'

const sources: Source[] = [{ path: '/etc/ufw', required: true }]

let root: string
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'leftovers-'))
  mkdirSync(path.join(root, 'etc'))
})
afterEach(() => execFileSync('rm', ['-rf', root]))

/** Folders in each other, deeper than a path of one system call can reach. */
function layDeep(folder: string): void {
  mkdirSync(folder, { recursive: true })
  const script = 'cd "$1"; for ((n = 0; n < 30; n++)); do mkdir "$2" && cd "$2" || exit; done; echo x >file'
  execFileSync('bash', ['-c', script, 'bash', folder, 'd'.repeat(200)])
  expect(() => statSync(path.join(folder, ...Array(30).fill('d'.repeat(200))))).toThrow(/ENAMETOOLONG/)
}

test('what a killed restore left is removed, however deep it is', async () => {
  layDeep(path.join(root, 'etc/.comfyume-restore-1a/tree'))
  await withStaging(root, sources, async () => {})
  expect(readdirSync(path.join(root, 'etc'))).toEqual([])
})

test.runIf(process.getuid?.() === 0)(
  'a folder that cannot be removed neither hides the cause nor keeps the next run from its work',
  async () => {
    const held = path.join(root, 'etc/.comfyume-restore-2b')
    mkdirSync(held)
    writeFileSync(path.join(held, 'file'), '')
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', held])
    try {
      const failing = withStaging(root, sources, async (tree) => {
        layDeep(tree)
        throw new Error('the cause')
      })
      await expect(failing).rejects.toThrow('the cause')
      expect(readdirSync(path.join(root, 'etc'))).toEqual(['.comfyume-restore-2b'])
    } finally {
      execFileSync('umount', [held])
    }
  },
)

test('the same for scratch folders', async () => {
  const failing = withScratch(root, 'comfyume-drill', async (folder) => {
    layDeep(folder)
    throw new Error('the cause')
  })
  await expect(failing).rejects.toThrow('the cause')
  expect(readdirSync(root)).toEqual(['etc'])
  await removeTree(path.join(root, 'nothing'))
})
