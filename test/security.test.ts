import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { buckets } from '../lib/inventory.ts'
import { jsonBlocks, policies, securityPage } from './security-page.ts'

const project = path.resolve(import.meta.dirname, '..')

test('every test that docs/security.md names is there, and every test of test/security is named', () => {
  const named = new Set(
    [...securityPage.matchAll(/`(test\/[\w./-]+\.test\.ts)`/g)].map(([, file]) => file as string),
  )
  expect(named.size).toBeGreaterThan(25)
  expect([...named].filter((file) => !existsSync(path.join(project, file)))).toEqual([])
  const own = readdirSync(path.join(project, 'test/security')).map((file) => `test/security/${file}`)
  expect(own.filter((file) => !named.has(file))).toEqual([])
})

test('its links lead somewhere', () => {
  const anchor = (heading: string) =>
    `#${heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-')}`
  const anchorsOf = (file: string) =>
    [...readFileSync(path.join(project, 'docs', file), 'utf8').matchAll(/^#+ (.*)$/gm)].map(
      ([, heading = '']) => anchor(heading),
    )
  const links = [...securityPage.matchAll(/\]\(([\w.]*)(#[\w-]+)\)/g)]
  expect(links.length).toBeGreaterThan(4)
  for (const [, file, to] of links) expect(anchorsOf(file || 'security.md'), `${file}${to}`).toContain(to)
})

test('its policies are for the four buckets, and allow no deletion', () => {
  expect(jsonBlocks().length).toBe(3)
  const names = Object.values(buckets).map(({ name }) => `arn:aws:s3:::${name}`)
  for (const { Statement } of Object.values(policies())) {
    const resources = new Set(
      Statement.flatMap(({ Resource }) => Resource.map((one) => one.replace(/\/\*$/, ''))),
    )
    expect([...resources].sort()).toEqual([...names].sort())
    expect(
      Statement.flatMap(({ Action }) => Action).filter((action) => /\*|Delete|Abort|PutBucket/.test(action)),
    ).toEqual([])
    expect(Statement.every(({ Effect }) => Effect === 'Allow')).toBe(true)
  }
})

test('no package that a run needs is installed by a script, and each is pinned with its digest', () => {
  const { packages } = JSON.parse(readFileSync(path.join(project, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: true; integrity?: string; hasInstallScript?: true }>
  }
  const { dependencies, allowScripts } = JSON.parse(readFileSync(path.join(project, 'package.json'), 'utf8'))
  expect(Object.keys(dependencies).length).toBe(9)
  const needed = Object.entries(packages).filter(([name, { dev }]) => name !== '' && !dev)
  expect(needed.length).toBeGreaterThan(50)
  expect(
    needed.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([name]) => name),
  ).toEqual([])
  const scripted = needed.filter(([, { hasInstallScript }]) => hasInstallScript).map(([name]) => name)
  expect(scripted).toEqual(['node_modules/esbuild'])
  expect(allowScripts).toEqual({ esbuild: false })
})
