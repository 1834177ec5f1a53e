import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { globbySync } from 'globby'
import { describe, expect, test } from 'vitest'

const project = path.resolve(import.meta.dirname, '../..')
const textOf = (page: string) => readFileSync(path.join(project, page), 'utf8')
const architecture = textOf('docs/architecture.md')
const decisions = readdirSync(path.join(project, 'docs/decisions')).map((name) => `docs/decisions/${name}`)
const pages = ['CONTRIBUTING.md', 'CHANGELOG.md', 'docs/architecture.md', ...decisions]

/** Folders and files of this project in backticks. */
function named(text: string): string[] {
  const found = text.matchAll(/`((?:lib|scripts|crontab|test|docs|demo|\.ci)\/[\w./-]*)`/g)
  return [...found].map(([, name = '']) => name)
}

test.each(pages)('%s names only files and folders that exist, and its links lead somewhere', (page) => {
  const links = [...textOf(page).matchAll(/\]\((?!https?:)([^)#\s]+)/g)]
  const wanted = [...named(textOf(page)), ...links.map(([, to = '']) => path.join(path.dirname(page), to))]
  expect(wanted.filter((name) => !existsSync(path.join(project, name)))).toEqual([])
})

describe('docs/architecture.md', () => {
  test('names every folder of lib', () => {
    const folders = globbySync('lib/**', { cwd: project, onlyDirectories: true }).map((name) => `${name}/`)
    expect(named(architecture)).toEqual(expect.arrayContaining(['lib/', ...folders]))
  })

  test('gives each law a file and a test', () => {
    const laws = architecture.split('\n').filter((line) => /^\| \d+ +\|/.test(line))
    expect(laws.map((line) => Number(line.split('|')[1]))).toEqual(
      Array.from({ length: 15 }, (_, i) => i + 1),
    )
    for (const law of laws) {
      const files = named(law)
      expect(
        files.some((name) => name.startsWith('lib/')),
        law,
      ).toBe(true)
      expect(
        files.some((name) => name.startsWith('test/')),
        law,
      ).toBe(true)
    }
  })
})

test('every decision is listed', () => {
  const list = textOf('docs/decisions/README.md')
  for (const page of decisions.filter((name) => !name.endsWith('README.md')))
    expect(list).toContain(`](${path.basename(page)})`)
})
