import { describe, expect, test } from 'vitest'
import { items } from '../lib/inventory.ts'
import { type Request, RequestError, selectItems } from '../lib/select.ts'

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
])('%j: %j', (request, expected) => {
  expect(names(request)).toEqual(expected)
})

test('what --only names and --quick takes back is left out, and says so', () => {
  const request: Request = { command: 'backup-verda', only: ['env', 'models'], quick: true }
  expect(selectItems(request).map(({ item, leftOut }) => [item.name, leftOut])).toEqual([
    ['env', undefined],
    ['models', 'is large, and --quick leaves it out'],
  ])
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
  [{ command: 'backup-cron', only: [] }, /^--only names nothing/],
  [{ command: 'backup-cron', to: ['r2'] }, /^--to: r2: not known here; backup-cron writes to sfs$/],
  [{ command: 'backup-mello', to: ['mello'] }, /backup-mello writes to r2, hetzner$/],
  [{ command: 'backup-cron', to: [] }, /^--to names nothing/],
])('%j is refused, with what is known', (request, says) => {
  expect(() => selectItems(request)).toThrow(RequestError)
  expect(() => selectItems(request)).toThrow(says)
})
