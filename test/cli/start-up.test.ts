import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'

/** Help and a wrong flag answer at once: what a script imports before it has read its command line is a handful of small files, and no package. */

const project = path.resolve(import.meta.dirname, '../..')
const scripts = readdirSync(path.join(project, 'scripts')).filter((name) => name.endsWith('.ts'))

test.each(scripts)('%s loads its command only once it runs', (script) => {
  const { files, packages } = importedBy(path.join(project, 'scripts', script))
  expect(packages).toEqual([])
  expect(files.size).toBeLessThan(10)
})

test('what is imported is followed: the command itself would be far over that', () => {
  const { files, packages } = importedBy(path.join(project, 'lib/backup/command.ts'))
  expect(files.size).toBeGreaterThan(50)
  expect(packages).toContain('dayjs')
})

/** All that loads with a file: static imports alone, without those of types. */
function importedBy(start: string): { files: Set<string>; packages: string[] } {
  const files = new Set<string>()
  const packages: string[] = []
  const follow = (file: string) => {
    if (files.has(file)) return
    files.add(file)
    for (const [, names = '', from = ''] of readFileSync(file, 'utf8').matchAll(importStatement)) {
      if (names.startsWith('type ') || from.startsWith('node:')) continue
      if (from.startsWith('.')) follow(path.resolve(path.dirname(file), from))
      else packages.push(from)
    }
  }
  follow(start)
  return { files, packages }
}

const importStatement = /^(?:import|export) (?:([^']+?) from )?'([^']+)'$/gm
