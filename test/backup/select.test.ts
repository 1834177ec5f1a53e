import { describe, expect, test } from 'vitest'
import { namesOf, type Request, selectItems, selectStored, selectStores } from '../../lib/backup/select.ts'
import { FlagError } from '../../lib/cli/flags.ts'
import { items } from '../../lib/inventory.ts'

const config = ['tailscale', 'ssh-host-keys', 'fail2ban', 'ufw', 'nginx', 'ssl', 'env']
const images = items.filter(({ group }) => group === 'containers').map(({ name }) => name)

const names = (request: Request) => selectItems(request).map(({ item }) => item.name)

test.each<[Request, string[]]>([
  [{ command: 'backup-cron' }, config],
  [{ command: 'backup-cron', quick: true }, config],
  [{ command: 'backup-cron', only: ['env'] }, ['env']],
  [{ command: 'backup-cron', only: ['env', 'tailscale', 'env'] }, ['tailscale', 'env']],
  [{ command: 'backup-cron', only: ['config'] }, [...config, 'home-dev', 'root-home']],
  [{ command: 'backup-cron', only: ['containers', 'scripts'] }, ['scripts', ...images]],
  [{ command: 'backup-verda' }, [...config, 'home-dev', 'root-home', 'scripts', ...images, 'models']],
  [{ command: 'backup-verda', quick: true }, [...config, 'home-dev', 'root-home', 'scripts']],
  [{ command: 'backup-mello' }, ['user-data', 'user-outputs', 'credentials']],
  [{ command: 'backup-mello', quick: true }, ['user-data', 'credentials']],
  [{ command: 'backup-mello', only: ['user-data'] }, ['user-data', 'user-outputs']],
  [{ command: 'backup-mello', only: ['item:user-data'] }, ['user-data']],
  [{ command: 'backup-mello', only: ['item:user-data', 'user-outputs'] }, ['user-data', 'user-outputs']],
])('%j: %j', (request, expected) => {
  expect(names(request)).toEqual(expected)
})

test('what --only names and --quick takes back is left out, and says so', () => {
  const request: Request = { command: 'backup-verda', only: ['env', 'models'], quick: true }
  expect(selectItems(request).map(({ item, leftOut }) => [item.name, leftOut])).toEqual([
    ['env', undefined],
    ['models', 'is large, and --quick leaves it out'],
  ])
  expect(selectItems(request)[1]?.stores).toEqual([])
})

describe('--to', () => {
  const storesOf = (request: Request) =>
    Object.fromEntries(selectItems(request).map(({ item, stores }) => [item.name, stores]))

  test.each<[Request, Record<string, string[]>]>([
    [{ command: 'backup-cron', only: ['env'] }, { env: ['sfs'] }],
    [{ command: 'backup-verda', only: ['env'] }, { env: ['mello', 'r2', 'hetzner'] }],
    [{ command: 'backup-verda', only: ['env'], to: ['mello'] }, { env: ['mello'] }],
    [{ command: 'backup-verda', only: ['env'], to: ['r2'] }, { env: ['r2', 'hetzner'] }],
    [{ command: 'backup-verda', only: ['env'], to: ['hetzner'] }, { env: ['hetzner'] }],
    [
      { command: 'backup-verda', only: ['env', 'models'], to: ['mello'] },
      { env: ['mello'], models: [] },
    ],
  ])('%j: %j', (request, expected) => {
    expect(storesOf(request)).toEqual(expected)
  })
})

test.each<[Request, RegExp]>([
  [
    { command: 'backup-cron', only: ['evn', 'x'] },
    /^--only: evn, x: not known here; backup-cron backs up .*tailscale/,
  ],
  [{ command: 'backup-cron', only: ['models'] }, /^--only: models: not known here/],
  [{ command: 'backup-cron', only: [] }, /^--only is empty/],
  // Only a name that is both needs it.
  [{ command: 'backup-cron', only: ['item:env'] }, /^--only: item:env: not known here/],
  [{ command: 'backup-cron', to: ['r2'] }, /^--to: r2: not known here; backup-cron writes to sfs$/],
  [{ command: 'backup-mello', to: ['mello'] }, /backup-mello writes to r2, hetzner$/],
  [{ command: 'backup-cron', to: [] }, /^--to is empty; backup-cron writes to sfs$/],
  [
    { command: 'backup-mello', only: [] },
    /^--only is empty; backup-mello backs up user-data, user-outputs, credentials, item:user-data$/,
  ],
])('%j is refused, with what is known', (request, says) => {
  expect(() => selectItems(request)).toThrow(FlagError)
  expect(() => selectItems(request)).toThrow(expect.objectContaining({ name: 'FlagError' }))
  expect(() => selectItems(request)).toThrow(says)
})

describe('what --to leaves without a store says where it goes alone', () => {
  test.each<[Request, string, string | undefined]>([
    [
      { command: 'backup-verda', only: ['models'], to: ['mello'] },
      'models',
      'goes to r2 alone, which --to leaves out',
    ],
    [{ command: 'backup-verda', only: ['models'], to: ['r2'] }, 'models', undefined],
    [{ command: 'backup-verda', only: ['models'] }, 'models', undefined],
    [{ command: 'backup-mello', only: ['credentials'] }, 'credentials', undefined],
    [
      { command: 'backup-mello', only: ['credentials'], to: ['r2'] },
      'credentials',
      'goes to its git repository alone, which --to leaves out',
    ],
  ])('%j: %s %s', (request, name, leftOut) => {
    const [selected] = selectItems(request)
    expect(selected).toMatchObject({ item: { name } })
    expect(selected?.leftOut).toBe(leftOut)
  })
})

describe('what lies in stores', () => {
  const stored = (only?: string[]) => selectStored(only).map(({ item }) => item.name)

  test('is every item that has a bucket, with every store that some command brings it to', () => {
    expect(stored()).toEqual(items.flatMap(({ name, bucket }) => (bucket === undefined ? [] : [name])))
    const storesOf = (name: string) => selectStored([name])[0]?.stores
    expect(storesOf('env')).toEqual(['sfs', 'mello', 'r2', 'hetzner'])
    expect(storesOf('user-data')).toEqual(['r2', 'hetzner'])
  })

  test('is chosen by items and groups, which may be mixed', () => {
    expect(stored(['env'])).toEqual(['env'])
    expect(stored(['containers'])).toEqual(images)
    expect(stored(['env', 'containers'])).toEqual(['env', ...images])
  })

  test('holds no other name, and none is no choice', () => {
    expect(() => selectStored(['x'])).toThrow(/^--only: x: not known here; stores hold tailscale, /)
    expect(() => selectStored([])).toThrow('--only is empty')
    expect(namesOf(items)).toEqual([...new Set(namesOf(items))])
    for (const name of namesOf(items))
      expect([
        ...items.map((item) => item.name),
        ...items.map((item) => item.group),
        'item:user-data',
      ]).toContain(name)
  })
})

test('stores are chosen by name, in their own order, and others refused', () => {
  expect(selectStores(['r2', 'sfs', 'r2'])).toEqual(['sfs', 'r2'])
  expect(() => selectStores(['r3'])).toThrow(
    /^--store: r3: not known here; did you mean r2\? the stores are sfs, mello, r2, hetzner$/,
  )
  expect(() => selectStores([])).toThrow(/^--store is empty; the stores are/)
})
