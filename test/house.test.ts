import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { globbySync } from 'globby'
import { describe, expect, test } from 'vitest'
import mutation from '../vitest.mutation.config.ts'

/**
 * The rules of the house (docs/architecture.md), from the imports of every file, those of types as well. A number that is higher than it should be is
 * a ratchet: lower it whenever the code allows, and never raise it.
 */
const project = path.resolve(import.meta.dirname, '..')
const files = globbySync(['lib/**/*.ts', 'scripts/*.ts'], { cwd: project })
const text = new Map(files.map((file) => [file, readFileSync(path.join(project, file), 'utf8')]))
const lib = files.filter((file) => file.startsWith('lib/'))
const loose = lib.filter((file) => file.split('/').length === 2)

/** What a file imports: paths from the project's folder, or names of packages. */
function importsOf(file: string): string[] {
  const found =
    text.get(file)?.matchAll(/(?:^(?:import|export)\b[^'"]*?\bfrom\s+|\bimport\(\s*)'([^']+)'/gms) ?? []
  return [...found].map(([, name = '']) =>
    name.startsWith('.') ? path.join(path.dirname(file), name) : name,
  )
}

/** `importer -> imported` for each import that a rule forbids. */
function breaches(of: readonly string[], forbidden: (imported: string) => boolean): string[] {
  return of.flatMap((file) =>
    importsOf(file)
      .filter(forbidden)
      .map((imported) => `${file} -> ${imported}`),
  )
}

/** Files that reach each other by imports, each such set once. */
function circles(of: readonly string[]): string[][] {
  const reached = new Map(of.map((file) => [file, reachedFrom(file)]))
  const sets = of.map((file) =>
    of.filter((other) => reached.get(file)?.has(other) && reached.get(other)?.has(file)),
  )
  return [...new Set(sets.filter(({ length }) => length > 0).map((set) => set.join(' ')))].map((set) =>
    set.split(' '),
  )
}

function reachedFrom(file: string): Set<string> {
  const reached = new Set<string>()
  const next = [file]
  for (let from = next.pop(); from !== undefined; from = next.pop())
    for (const imported of importsOf(from))
      if (!reached.has(imported) && text.has(imported)) {
        reached.add(imported)
        next.push(imported)
      }
  return reached
}

const below = (...folders: string[]) =>
  lib.filter((file) => folders.some((folder) => file.startsWith(folder)))
const isBelow =
  (...folders: string[]) =>
  (imported: string) =>
    folders.some((folder) => imported.startsWith(folder))

/** Whatever reads or writes outside this process. */
const doesIo = (imported: string) =>
  /^(?:node:(?:fs|fs\/promises|child_process|net|tls|http|https|dns|os|worker_threads)|execa|zx|globby|ora|@aws-sdk\/.*)$/.test(
    imported,
  )

test('imports are found', () => {
  expect(importsOf('lib/restore-order.ts').length).toBeGreaterThan(0)
  expect(breaches(below('lib/stores/s3/'), doesIo)).not.toEqual([])
})

test('there are no circles in lib, not by types either', () => {
  expect(circles(lib)).toEqual([])
})

test('what is mutated is there, and so are its tests', () => {
  const { mutate } = JSON.parse(readFileSync(path.join(project, 'stryker.config.json'), 'utf8'))
  const named: string[] = [...mutate, ...(mutation.test?.include ?? [])].flatMap((pattern) =>
    (/\{(.*)\}/.exec(pattern)?.[1] ?? '').split(',').map((one) => pattern.replace(/\{.*\}/, one)),
  )
  expect(named.filter((file) => !existsSync(path.join(project, file)))).toEqual([])
})

test('lib imports neither tests nor the demo', () => {
  expect(breaches(lib, isBelow('test/', 'demo/', 'scripts/'))).toEqual([])
})

/** They look while they plan, and should be given what was seen. */
const stillLooking = ['lib/restore/plan/models.ts', 'lib/restore/plan/sources.ts']

test('what says WHAT, and what only judges or plans, does no I/O', () => {
  const pure = [...loose, ...below('lib/status/judge/', 'lib/restore/plan/')]
  expect(
    breaches(
      pure.filter((file) => !stillLooking.includes(file)),
      doesIo,
    ),
  ).toEqual([])
})

/** Of the rooms of lib, each imports only those before it: where, then how, then the verbs. */
const rooms = [
  'files',
  'settings',
  'cli',
  'hosts',
  'stores',
  'capture',
  'backup',
  'restore',
  'setup',
  'verify',
  'doctor',
  'status',
]

const roomOf = (file: string) => (file.startsWith('lib/') ? file.split('/').slice(1, -1)[0] : undefined)

test('every room has its place', () => {
  const found = new Set(lib.flatMap((file) => roomOf(file) ?? []))
  expect([...found].sort()).toEqual(rooms.toSorted())
})

/** To be turned round; nothing may be added. */
const stillUpwards = ['lib/files/scratch.ts -> lib/hosts/process.ts']

test('a room imports only rooms before it, so stores and hosts know no items', () => {
  const upwards = lib.flatMap((file) => {
    const own = roomOf(file)
    const isAbove = (imported: string) => {
      const room = roomOf(imported)
      return own !== undefined && room !== undefined && rooms.indexOf(room) > rooms.indexOf(own)
    }
    return breaches([file], isAbove)
  })
  expect(upwards.filter((breach) => !stillUpwards.includes(breach))).toEqual([])
})

/** The aims are 170 files, 10 of them at the top, and 17,500 lines. */
describe('it stays small', () => {
  test('files', () => expect(lib.length).toBeLessThanOrEqual(193))
  test('files at the top', () => expect(loose.length).toBeLessThanOrEqual(10))
  test('lines', () => {
    const lines = [...text.values()].reduce((sum, content) => sum + content.split('\n').length - 1, 0)
    expect(lines).toBeLessThanOrEqual(28_053)
  })
})
