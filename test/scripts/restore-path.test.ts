import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildRestorable, outcomeOf, type Restorable, reportOf } from './restorable.ts'

/** Single files from an item's archive: `restore --only ITEM --path PATTERN [--to DIR]`. */

let world: Restorable
beforeAll(async () => {
  world = await buildRestorable({ quick: true })
})
afterAll(() => world.dispose())

const read = (...parts: string[]) => readFileSync(path.join(...parts), 'utf8')
const restore = (...args: string[]) => world.restore([...args, '--yes', '--json'])

it('brings one file back below another folder, and nothing else', async () => {
  const to = world.drill()
  const run = await restore('--only', 'home-dev', '--path', '/home/dev/bin/start', '--to', to)
  expect(run.code, run.stderr).toBe(0)
  expect(read(to, 'home/dev/bin/start')).toContain('docker compose up')
  expect(readdirSync(to, { recursive: true }).sort()).toEqual([
    'home',
    'home/dev',
    'home/dev/bin',
    'home/dev/bin/start',
  ])
  expect(outcomeOf(run, 'home-dev')).toMatchObject({ status: 'restored', source: 'sfs' })
})

it('keeps a different file aside, and leaves other files and the folders that are there as they are', async () => {
  const to = world.drill()
  mkdirSync(path.join(to, 'etc/fail2ban/jail.d'), { recursive: true })
  chmodSync(path.join(to, 'etc/fail2ban'), 0o711)
  writeFileSync(path.join(to, 'etc/fail2ban/jail.local'), 'newer')
  writeFileSync(path.join(to, 'etc/fail2ban/jail.d/mine.conf'), '[mine]')
  const run = await restore('--only', 'fail2ban', '--path', 'etc/fail2ban/*.local', '--to', to)
  expect(run.code, run.stderr).toBe(0)
  expect(read(to, 'etc/fail2ban/jail.local')).not.toBe('newer')
  expect(read(reportOf(run).keptAside as string, 'etc/fail2ban/jail.local')).toBe('newer')
  expect(outcomeOf(run, 'fail2ban').aside).toEqual(['etc/fail2ban/jail.local'])
  expect(read(to, 'etc/fail2ban/jail.d/mine.conf')).toBe('[mine]')
  expect(statSync(path.join(to, 'etc/fail2ban')).mode & 0o777).toBe(0o711)
})

it('leaves no note that the item is back: a whole restore after it brings everything', async () => {
  const to = world.drill()
  await restore('--only', 'home-dev', '--path', 'home/dev/bin/*', '--to', to)
  const run = await restore('--only', 'home-dev', '--root', to)
  expect(outcomeOf(run, 'home-dev').status).toBe('restored')
  expect(existsSync(path.join(to, 'home/dev/comfyume-v1'))).toBe(true)
})

it('a pattern that matches nothing fails, and says so', async () => {
  const to = world.drill()
  const run = await restore('--only', 'home-dev', '--path', 'home/dev/no such file', '--to', to)
  expect(run.code).toBe(1)
  expect(outcomeOf(run, 'home-dev').reason).toBe('nothing in it matches home/dev/no such file')
  expect(readdirSync(to)).toEqual([])
})

describe('what cannot be meant ends with 2', () => {
  it.each([
    [['--path', 'home/dev/x'], 'name it with --only'],
    [['--only', 'config', '--path', 'home/dev/x'], 'name it with --only'],
    [['--only', 'comfyume-worker', '--path', 'x'], 'name it with --only'],
    [['--only', 'home-dev', '--path', '../x'], "for instance 'home/dev/notes/*'"],
    [['--only', 'home-dev', '--path', '-x'], "for instance 'home/dev/notes/*'"],
    [['--only', 'home-dev', '--to', '/tmp/x'], '--to belongs to --path'],
  ])('%j', async (flags, says) => {
    const run = await restore(...flags, '--root', world.drill())
    expect(run.code).toBe(2)
    expect(run.stderr).toContain(says)
  })
})
