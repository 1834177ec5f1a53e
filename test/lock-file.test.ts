import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'

interface Locked {
  version?: string
  resolved?: string
  optionalDependencies?: Record<string, string>
}

const text = readFileSync(path.resolve(import.meta.dirname, '../package-lock.json'), 'utf8')
const packages: Record<string, Locked> = JSON.parse(text).packages

test('the lock file names no download hosts', () => {
  expect(Object.values(packages).flatMap(({ resolved }) => resolved ?? [])).toEqual([])
})

// npm ci refuses a lock file that lacks one, and asks the registry for it, on machines that would never install it.
test('the lock file names the packages of every platform, in the version that their parent wants', () => {
  const wanted = Object.entries(packages).flatMap(([parent, { optionalDependencies = {} }]) =>
    Object.entries(optionalDependencies).map(([name, version]) => ({ parent, name, version })),
  )
  expect(wanted.length).toBeGreaterThan(50)
  const lacking = wanted.filter(({ parent, name, version }) => {
    const locked = packages[`${parent}/node_modules/${name}`] ?? packages[`node_modules/${name}`]
    return locked === undefined || (/^\d/.test(version) && locked.version !== version)
  })
  expect(lacking).toEqual([])
})
