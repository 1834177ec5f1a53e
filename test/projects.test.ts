import { readFileSync } from 'node:fs'
import path from 'node:path'
import { globbySync } from 'globby'
import { expect, test } from 'vitest'
import { all, filesOf, type ProjectName, projects, quick } from './projects.ts'

const root = path.resolve(import.meta.dirname, '..')
const names = Object.keys(projects) as ProjectName[]

test('every test file is in exactly one project', () => {
  const files = globbySync('test/**/*.test.ts', { cwd: root })
  const projectsOf = new Map(files.map((file) => [file, [] as string[]]))
  for (const name of names) for (const file of filesOf(name, root)) projectsOf.get(file)?.push(name)
  expect([...projectsOf].filter(([, found]) => found.length !== 1)).toEqual([])
  expect(files.length).toBeGreaterThan(100)
})

test('every project has tests', () => {
  for (const name of names) expect(filesOf(name, root), name).not.toEqual([])
})

test('npm test and npm run test:all name the projects that they are said to run', () => {
  const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
  const run = (some: readonly string[]) => `vitest run ${some.map((name) => `--project ${name}`).join(' ')}`
  expect(scripts.test).toBe(run(quick))
  expect(scripts['test:all']).toBe(`THOROUGH=1 ${run(all)}`)
  expect(scripts['test:real']).toBe(run(['real']))
  expect(scripts.machines).toBe(run(['machines']))
})
