import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildRestorable, outcomeOf, type Restorable, reportOf } from './restorable.ts'

let world: Restorable
beforeAll(async () => {
  world = await buildRestorable({ quick: true })
})
afterAll(() => world.dispose())

/** A drill's folder that is not empty. */
function machine(files: Record<string, string>): string {
  const to = world.drill()
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.join(to, path.dirname(name)), { recursive: true })
    writeFileSync(path.join(to, name), content)
  }
  return to
}

const read = (...parts: string[]) => readFileSync(path.join(...parts), 'utf8')
const project = 'home/dev/comfyume-v1'

it('keeps what it overwrites aside, by its path and readable by root alone, and says where', async () => {
  const to = machine({
    'home/dev/bin/start': 'mine',
    'home/dev/own file': 'nobody backed this up',
    'etc/fail2ban/jail.d/mine.conf': '[mine]',
  })
  const run = await world.restore(['--only', 'home-dev,fail2ban', '--yes', '--json', '--root', to])
  expect(run.code, run.stderr).toBe(0)
  const { keptAside } = reportOf(run)
  expect(keptAside).toBe(path.join(to, 'var/lib/comfyume-backup/kept-aside/2026-11-25-02-13'))
  expect(run.stderr).toContain(`what was replaced is kept in ${keptAside}`)
  expect(read(keptAside as string, 'home/dev/bin/start')).toBe('mine')
  expect(statSync(keptAside as string).mode & 0o777).toBe(0o700)
  expect(outcomeOf(run, 'home-dev').aside).toEqual(['home/dev/bin/start'])
  expect(read(to, 'home/dev/bin/start')).toContain('docker compose up')
  expect(read(to, 'home/dev/own file')).toBe('nobody backed this up')
  // A jail that is not in the backup would stay in force.
  expect(outcomeOf(run, 'fail2ban').aside).toEqual(['etc/fail2ban/jail.d'])
  expect(read(keptAside as string, 'etc/fail2ban/jail.d/mine.conf')).toBe('[mine]')
})

it('keeps the first and the second of two files that made room for one name in the same minute', async () => {
  const to = machine({ [`${project}/.env`]: 'FIRST=1\n' })
  const restore = () => world.restore(['--only', 'env', '--yes', '--json', '--root', to])
  await restore()
  writeFileSync(path.join(to, project, '.env'), 'SECOND=1\n')
  const second = await restore()
  expect(second.code, second.stderr).toBe(0)
  const kept = readdirSync(path.join(to, 'var/lib/comfyume-backup'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => read(entry.parentPath, entry.name))
  expect(kept.sort()).toEqual(['FIRST=1\n', 'SECOND=1\n'])
})

it('merges the keys that may log in: those of the machine stay first, none comes twice', async () => {
  const to = machine({ 'root/.ssh/authorized_keys': 'ssh-ed25519 BBBB me now\nssh-ed25519 AAAA someone\n' })
  const run = await world.restore(['--only', 'root-home,home-dev', '--yes', '--root', to])
  expect(run.code, run.stdout).toBe(0)
  expect(read(to, 'root/.ssh/authorized_keys')).toBe('ssh-ed25519 BBBB me now\nssh-ed25519 AAAA someone\n')
  expect(read(to, 'home/dev/.ssh/authorized_keys')).toBe('ssh-ed25519 AAAA dev\n')
})

it('leaves the .env of the machine’s own backup beside credentials from git, unless those are asked for by name', async () => {
  const to = world.drill()
  const both = await world.restore(['--yes', '--root', to])
  expect(both.code, both.stdout).toBe(0)
  expect(read(to, project, '.env')).toBe("ADMIN_PASSWORD='pa$$word'\n")
  expect(read(to, project, 'nginx/.htpasswd')).toBe('user001:$apr1$hash\n')
  const named = await world.restore(['--only', 'credentials', '--yes', '--json', '--root', to])
  expect(named.code, named.stderr).toBe(0)
  expect(read(to, project, '.env')).toBe('PASSWORD=pa$$word\n')
  expect(outcomeOf(named, 'credentials').aside).toEqual([`${project}/.env`])
  expect(statSync(path.join(to, project, '.env')).mode & 0o777).toBe(0o600)
})

it('puts a file where docker has left an empty folder, and keeps a folder with content aside', async () => {
  const to = world.drill()
  mkdirSync(path.join(to, project, 'nginx/.htpasswd'), { recursive: true })
  const empty = await world.restore(['--only', 'credentials', '--yes', '--json', '--root', to])
  expect(empty.code, empty.stderr).toBe(0)
  expect(outcomeOf(empty, 'credentials').aside).toBeUndefined()
  expect(statSync(path.join(to, project, 'nginx/.htpasswd')).isFile()).toBe(true)

  const full = machine({ [`${project}/nginx/.htpasswd/in it`]: 'somebody’s' })
  const run = await world.restore(['--only', 'credentials', '--yes', '--json', '--root', full])
  expect(run.code, run.stderr).toBe(0)
  expect(statSync(path.join(full, project, 'nginx/.htpasswd')).isFile()).toBe(true)
  expect(read(reportOf(run).keptAside as string, project, 'nginx/.htpasswd/in it')).toBe('somebody’s')
})

it('--at leaves credentials out, of which a repository tells only the newest', async () => {
  const run = await world.restore(['--at', '2026-11-24', '--yes', '--json', '--root', world.drill()])
  expect(run.code, run.stderr).toBe(0)
  expect(outcomeOf(run, 'credentials')).toMatchObject({
    status: 'skipped',
    reason: expect.stringContaining('--at'),
  })
})

it('says that a repository cannot be cloned, and what to look at', async () => {
  const run = await world.restore(['--only', 'credentials', '--yes', '--root', world.drill()], {
    env: { CREDENTIALS_REPO: path.join(world.verda.folder, 'no.git') },
  })
  expect(run.code).toBe(1)
  expect(run.stdout).toMatch(
    /FAILED credentials: .*no\.git cannot be cloned: .*This must work without a question: git ls-remote /,
  )
})
