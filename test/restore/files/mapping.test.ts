import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { captureOf } from '../../../lib/backup/plan.ts'
import { items, type Source } from '../../../lib/inventory.ts'
import { baseOf, depthOf, isOnTheWay } from '../../../lib/restore/files/mapping.ts'
import { readSettings } from '../../../lib/settings/settings.ts'

const settings = readSettings({})
const withFiles = items.flatMap((item) => {
  const capture = captureOf(item, settings)
  return capture.kind === 'files' ? [{ name: item.name, sources: capture.sources }] : []
})
const sourcesOf = (name: string, env: Record<string, string> = {}) => {
  const item = items.find((one) => one.name === name)
  const capture = item && captureOf(item, readSettings(env))
  if (capture?.kind !== 'files') throw new Error(name)
  return capture.sources
}

/** What topPathsOf says of a tree with these paths, of which those of folders end with a slash. */
function heads(sources: readonly Source[], paths: readonly string[]): string[] {
  const depth = depthOf(sources)
  return paths.map((file) => {
    const parts = file.split('/')
    return parts.length > depth ? `${parts.slice(0, depth).join('/')}/` : file
  })
}
const base = (name: string, ...paths: string[]) => baseOf(sourcesOf(name), heads(sourcesOf(name), paths))

test.each(withFiles)("this toolkit's archives of $name count from the root", ({ sources }) => {
  const whole = sources.flatMap(({ path, match }) => {
    const own = path.slice(1)
    return match ? [`${own}/${match.replace('*', 'x')}`] : [`${own}/a`, `${own}/b/c/d/e`]
  })
  expect(baseOf(sources, heads(sources, whole))).toBe('')
  for (const one of whole) expect(baseOf(sources, heads(sources, [one])), 'of one source alone').toBe('')
})

test.each(withFiles.filter(({ sources }) => sources.some(({ match }) => !match)))(
  'an archive of $name that is its empty folder, or a file in its place, counts from the root',
  ({ sources }) => {
    const own = sources.find(({ match }) => !match)?.path.slice(1)
    expect(baseOf(sources, [`${own}/`])).toBe('')
    expect(baseOf(sources, [`${own}`])).toBe('')
  },
)

describe('archives of the older scripts', () => {
  test.each([
    ['tailscale', 'var/lib', ['tailscale/tailscaled.state', 'tailscale/certs/x/y/z']],
    ['tailscale', 'var', ['lib/tailscale/tailscaled.state']],
    ['tailscale', 'var/lib/tailscale', ['tailscaled.state', 'derpmap.cached.json', 'certs/a']],
    ['ssh-host-keys', 'etc/ssh', ['ssh_host_ed25519_key', 'ssh_host_ed25519_key.pub']],
    ['ssh-host-keys', 'etc', ['ssh/ssh_host_rsa_key']],
    ['fail2ban', 'etc', ['fail2ban/jail.local']],
    ['home-dev', 'home', ['dev/.bashrc', 'dev/a/b']],
    ['env', 'home/dev/comfyume-v1', ['.env']],
    ['ssl', 'etc', ['letsencrypt/live/x', 'ssl/private/y']],
    ['user-data', 'home/dev/comfyume-v1', ['data/workflows/a', 'data/inputs/', 'custom_nodes/b']],
  ])('%s relative to /%s', (name, expected, paths) => {
    expect(base(name, ...paths)).toBe(expected)
  })

  test.each<[string, string[]]>([
    ['nothing', []],
    ['another item', ['etc/fail2ban/jail.local']],
    ['more than the item', ['etc/ufw/user.rules', 'etc/passwd']],
    ['a neighbour that begins like it', ['etc/ufw2/user.rules']],
    ['only folders above it', ['etc/']],
    ['a file in the place of a folder above it', ['etc', 'etc/ufw/user.rules']],
    ['two that count from different folders', ['etc/ufw/a', 'ufw/b']],
    ['what lies in it, without its name', ['user.rules', 'before.rules']],
    ['an empty folder beside it', ['etc/ufw/a', 'tmp/']],
  ])('ufw: %s is refused', (_, paths) => {
    expect(base('ufw', ...paths)).toBeUndefined()
  })

  test.each<[string, string[]]>([
    ['the server’s settings beside the keys', ['etc/ssh/ssh_host_rsa_key', 'etc/ssh/sshd_config']],
    ['the same relative to /etc/ssh', ['ssh_host_rsa_key', 'sshd_config']],
    ['keys with a name of their own', ['etc/ssh/my_ssh_host_rsa_key']],
    ['a file called as their folder', ['etc/ssh']],
    ['the folder alone', ['etc/ssh/']],
  ])('ssh host keys: %s is refused', (_, paths) => {
    expect(base('ssh-host-keys', ...paths)).toBeUndefined()
  })

  test('a key whose name holds a newline is a key', () => {
    expect(base('ssh-host-keys', 'etc/ssh/ssh_host_ b\nc', 'etc/ssh/ssh_host_rsa_key')).toBe('')
  })

  test('paths of the settings may hold what is special elsewhere', () => {
    for (const PROJECT_DIR of ['/home/dev/größe', '/srv/a b/[c]*', '/srv/back\\slash', '/p']) {
      const sources = sourcesOf('env', { PROJECT_DIR })
      expect(baseOf(sources, heads(sources, [`${PROJECT_DIR.slice(1)}/.env`]))).toBe('')
    }
  })
})

test('whatever is accepted, every path lies in a source, or is a folder on the way to one', () => {
  const parts = [
    'etc',
    'ssh',
    'ufw',
    'ssl',
    'private',
    'letsencrypt',
    'home',
    'dev',
    'root',
    'var',
    'lib',
    'tailscale',
  ]
  const more = [
    'ssh_host_rsa_key',
    'tailscaled.state',
    'comfyume-v1',
    '.env',
    'data',
    'workflows',
    'a',
    '..',
    '.',
  ]
  const path = fc
    .tuple(fc.array(fc.constantFrom(...parts, ...more), { minLength: 1, maxLength: 7 }), fc.boolean())
    .map(([names, folder]) => names.join('/') + (folder ? '/' : ''))
  let accepted = 0
  fc.assert(
    fc.property(fc.constantFrom(...withFiles), fc.array(path, { maxLength: 4 }), ({ sources }, paths) => {
      const found = baseOf(sources, paths)
      if (found === undefined) return
      accepted++
      for (const each of paths) {
        const whole = (found === '' ? each : `${found}/${each}`).replace(/\/$/, '')
        const within = sources.some(
          ({ path: source, match }) =>
            `${whole}/`.startsWith(`${source.slice(1)}/${match ? match.replace('*', '') : ''}`) ||
            whole === source.slice(1),
        )
        expect(within || (each.endsWith('/') && isOnTheWay(sources, whole)), whole).toBe(true)
      }
    }),
    { numRuns: 20_000, seed: 4 },
  )
  expect(accepted).toBeGreaterThan(100)
})

describe('folders that end above the sources', () => {
  test('an empty folder on the way to one source stands beside another', () => {
    expect(baseOf(sourcesOf('ssl'), ['etc/letsencrypt/a', 'etc/ssl/'])).toBe('')
    expect(baseOf(sourcesOf('ssl'), ['letsencrypt/a', 'ssl/'])).toBe('etc')
  })

  test('a file or a link in its place does not', () => {
    for (const name of ['etc', 'etc/sslx'])
      expect(baseOf(sourcesOf('ssl'), ['etc/letsencrypt/a', name])).toBeUndefined()
  })

  test('nor does one that only begins like it, or lies beside it', () => {
    expect(baseOf(sourcesOf('ssl'), ['etc/letsencrypt/a', 'etc/s/'])).toBeUndefined()
    expect(baseOf(sourcesOf('ssl'), ['etc/letsencrypt/a', 'ssl/'])).toBeUndefined()
    expect(baseOf(sourcesOf('ssl'), ['etc/letsencrypt/a', 'etc/'])).toBe('')
  })

  test.each<[string, string, boolean]>([
    ['ufw', 'etc', true],
    ['ufw', 'etc/ufw', false],
    ['ufw', 'etc/u', false],
    ['ufw', 'ufw', false],
    ['ssl', 'etc', true],
    ['ssl', 'etc/ssl', false],
    ['ssl', 'etc/ssl/private', false],
    ['ssh-host-keys', 'etc', true],
    // Its keys lie in a folder that is not its own.
    ['ssh-host-keys', 'etc/ssh', true],
    ['ssh-host-keys', 'etc/ssh/ssh_host_rsa_key', false],
  ])('on the way to %s: %s is %s', (name, member, expected) => {
    expect(isOnTheWay(sourcesOf(name), member)).toBe(expected)
  })
})

test('members are looked at as deep as the deepest source lies', () => {
  expect(
    depthOf([
      { path: '/a/b', required: true },
      { path: '/a', required: true },
    ]),
  ).toBe(3)
  expect(depthOf(sourcesOf('fail2ban'))).toBe(3)
})

test('of two folders that would do, the one nearer to the root is taken', () => {
  const twice: Source[] = [
    { path: '/a/b/a/b', required: false },
    { path: '/a/b', required: false },
  ]
  expect(baseOf(twice, ['a/b/x'])).toBe('')
  const apart: Source[] = [
    { path: '/a/b/e', required: false },
    { path: '/d/e', required: false },
  ]
  expect(baseOf(apart, ['e/x'])).toBe('d')
})
