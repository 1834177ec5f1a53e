import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { items } from '../../lib/inventory.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { envExample, reference, settings } from './reference.ts'

/** What the pages say is what the code says; their commands are run by commands.test.ts. */

const project = path.resolve(import.meta.dirname, '../..')
const textOf = (page: string) => readFileSync(path.join(project, page), 'utf8')

describe('what is made from the code', () => {
  test('docs/reference.md', async () => {
    await expect(reference()).toMatchFileSnapshot('../../docs/reference.md')
  })

  test('.env.example', async () => {
    await expect(envExample()).toMatchFileSnapshot('../../.env.example')
  })

  test.each(settings())('the default of $name is $value', ({ name, value }) => {
    const complete = { R2_ACCESS_KEY_ID: 'id', R2_SECRET_ACCESS_KEY: 'secret' }
    const { r2, ...others } = readSettings({ ...complete, ...(value === '' ? {} : { [name]: value }) })
    const { r2: r2Default, ...othersDefault } = readSettings(complete)
    expect(others).toEqual(othersDefault)
    expect({ ...r2, secretAccessKey: '' }).toEqual({ ...r2Default, secretAccessKey: '' })
  })
})

describe('the pages', () => {
  const top = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md']
  const below = readdirSync(path.join(project, 'docs'), { recursive: true, encoding: 'utf8' })
  const all = [...top, ...below.map((name) => `docs/${name}`)].filter((page) => page.endsWith('.md'))

  test.each(all)('%s speaks of files that are there, and links lead somewhere', (page) => {
    const spoken = [...textOf(page).matchAll(/`((?:lib|crontab|scripts|test|demo|\.ci)\/[^\s`*<>]+)`/g)]
    const links = [...textOf(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)/g)]
    const missing = [
      ...spoken.map(([, file = '']) => path.join(project, file)),
      ...links.map(([, file = '']) => path.join(project, path.dirname(page), file || path.basename(page))),
    ].filter((file) => !existsSync(file))
    expect(missing).toEqual([])
    for (const [, file, anchor] of links) {
      if (anchor === undefined) continue
      const target = file ? path.join(path.dirname(page), file) : page
      expect(anchorsOf(textOf(target)), `${page}: ${file}#${anchor}`).toContain(anchor)
    }
  })

  test('README.md has at most 150 lines, and no page a line that is too long outside of tables and commands', () => {
    expect(textOf('README.md').split('\n').length).toBeLessThanOrEqual(151)
    for (const page of all) {
      const lines = textOf(page)
        .replaceAll(/^ *```.*?^ *```$/gms, '')
        .split('\n')
      expect(
        lines.filter((line) => line.length > 120 && !line.startsWith('|')),
        page,
      ).toEqual([])
    }
  })

  test('docs/restore.md names every item that comes back by hand', () => {
    const archives = items.filter(({ capture, host }) => capture.kind === 'files' && host === 'verda')
    const page = textOf('docs/restore.md')
    for (const { name } of archives.filter(({ name }) => !name.endsWith('home') && name !== 'home-dev'))
      expect(page).toContain(`\`${name}\``)
  })
})

function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  )
}
