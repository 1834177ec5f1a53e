import { describe, expect, test } from 'vitest'
import { FlagError } from '../../../lib/cli/flags.ts'
import { items } from '../../../lib/inventory.ts'
import {
  type RestoreRequest,
  readAt,
  repositoryOf,
  selectForRestore,
} from '../../../lib/restore/plan/request.ts'
import { readSettings } from '../../../lib/settings/settings.ts'

const select = (over: Partial<RestoreRequest> = {}, env: Record<string, string> = {}) =>
  selectForRestore(
    { prefer: 'order', withModels: false, withContainers: false, skipSfs: false, ...over },
    readSettings(env),
  )
const names = (...args: Parameters<typeof select>) => select(...args).map(({ item }) => item.name)
const sources = (item: string, ...args: Parameters<typeof select>) =>
  select(...args).find((one) => one.item.name === item)?.sources

describe('readAt', () => {
  test.each([
    ['2026-11-24', '2026-11-24T23:59:59.999Z'],
    ['2026-11-24-10', '2026-11-24T10:59:59.999Z'],
    ['2026-11-24-10-30', '2026-11-24T10:30:59.999Z'],
    ['2028-02-29', '2028-02-29T23:59:59.999Z'],
    ['2026-12-31-23', '2026-12-31T23:59:59.999Z'],
  ])('%s ends at %s', (text, end) => {
    expect(readAt(text).toISOString()).toBe(end)
  })

  test.each([
    '',
    'yesterday',
    '2026-11-31',
    '2026-02-29',
    '2026-13-01',
    '2026-11-24-24',
    '2026-11-24-10-60',
    '2026-11-24T10:00:00Z',
    '24.11.2026',
    '2026-11-24 ',
    ' 2026-11-24',
    '2026-11-24\n',
    '20261124',
    '2026-1-4',
    '1999-11-24',
    '٢٠٢٦-11-24',
  ])('%j is no time, and says how one looks', (text) => {
    expect(() => readAt(text)).toThrow(FlagError)
    expect(() => readAt(text)).toThrow(/2026-11-24 or 2026-11-24-10/)
  })
})

describe('which items', () => {
  const images = items.filter(({ capture }) => capture.kind === 'image').map(({ name }) => name)
  const all = items.map(({ name }) => name)

  test.each<[string, Partial<RestoreRequest>, string[]]>([
    ['all but models and images', {}, all.filter((name) => name !== 'models' && !images.includes(name))],
    ['with models', { withModels: true }, all.filter((name) => !images.includes(name))],
    ['with images', { withContainers: true }, all.filter((name) => name !== 'models')],
    ['everything', { withModels: true, withContainers: true }, all],
    ['one', { only: ['env'] }, ['env']],
    [
      "in the inventory's order, whatever the order asked for",
      { only: ['ufw', 'tailscale'] },
      ['tailscale', 'ufw'],
    ],
    [
      'named once and by its group',
      { only: ['env', 'config', 'env'] },
      all.slice(0, all.indexOf('root-home') + 1),
    ],
    ['an image by name', { only: ['comfyume-worker'] }, ['comfyume-worker']],
    ['images as a group', { only: ['containers'] }, images],
    ['models by name', { only: ['models'] }, ['models']],
    ['user data as a group', { only: ['user-data'] }, ['user-data', 'user-outputs']],
    ['user data alone', { only: ['item:user-data'] }, ['user-data']],
    ['single files of user data', { only: ['user-data'], path: 'home/*' }, ['user-data']],
    ['the same, by its own name', { only: ['item:user-data'], path: 'home/*' }, ['user-data']],
    ['one, and the models', { only: ['env'], withModels: true }, ['env', 'models']],
    ['one, and the images', { only: ['env'], withContainers: true }, ['env', ...images]],
  ])('%s', (_, request, expected) => {
    expect(names(request)).toEqual(expected)
  })

  test.each<[string, Partial<RestoreRequest>, RegExp]>([
    ['an unknown item', { only: ['evn'] }, /--only: evn: not known here; restore brings back .*env/],
    ['no item', { only: [] }, /--only is empty/],
    [
      'an unknown source',
      { from: ['s3', 'sfs'] },
      /--from: s3: not known here; copies come from root, sfs, r2, hetzner, mello, git/,
    ],
    ['no source', { from: [] }, /--from is empty/],
    ['names of every object', { only: ['constructor', '__proto__'] }, /constructor, __proto__: not known/],
  ])('%s is an error that lists what is known', (_, request, message) => {
    expect(() => select(request)).toThrow(FlagError)
    expect(() => select(request)).toThrow(message)
  })

  test('named is what was asked for by its own name, not by its group', () => {
    const named = (only?: string[]) => select(only ? { only } : {}).filter((one) => one.named)
    expect(named()).toEqual([])
    expect(named(['config'])).toEqual([])
    expect(named(['tailscale', 'env']).map(({ item }) => item.name)).toEqual(['tailscale', 'env'])
    // The group and its first item bear the same name.
    expect(named(['user-data']).map(({ item }) => item.name)).toEqual(['user-data'])
    expect(named(['item:user-data']).map(({ item }) => item.name)).toEqual(['user-data'])
  })
})

describe('which sources', () => {
  const hetzner = {
    HETZNER_ENDPOINT: 'https://fsn1.your-objectstorage.com',
    HETZNER_ACCESS_KEY_ID: 'i',
    HETZNER_SECRET_ACCESS_KEY: 's',
  }
  const repositories = { SCRIPTS_REPO: 'git@example:scripts', CREDENTIALS_REPO: 'git@example:credentials' }

  test.each<[string, string, Partial<RestoreRequest>, Record<string, string>, string[]]>([
    ['config', 'env', {}, {}, ['root', 'sfs', 'r2', 'mello']],
    ['Hetzner once it is set', 'env', {}, hetzner, ['root', 'sfs', 'r2', 'hetzner', 'mello']],
    ['without the share', 'env', { skipSfs: true }, {}, ['root', 'r2', 'mello']],
    ['from one, in its own order', 'env', { from: ['r2', 'root'] }, {}, ['root', 'r2']],
    ['from the share, which is to be skipped', 'env', { from: ['sfs'], skipSfs: true }, {}, []],
    ['from what an item has not', 'user-data', { from: ['sfs'] }, {}, []],
    ['the toolkit without its repository', 'scripts', {}, {}, ['root', 'sfs', 'r2', 'mello']],
    ['the toolkit with it', 'scripts', {}, repositories, ['root', 'sfs', 'git', 'r2', 'mello']],
    // So that what is missing is told in words of the setting instead of the flags.
    ['credentials without their repository', 'credentials', {}, {}, ['git']],
    ['credentials from elsewhere', 'credentials', { from: ['sfs'] }, repositories, []],
  ])('%s', (_, item, request, env, expected) => {
    expect(sources(item, request, env)).toEqual(expected)
  })

  test('each item with a repository among its sources has one in the settings', () => {
    const settings = readSettings(repositories)
    for (const item of items)
      expect(repositoryOf(item, settings)).toBe(
        item.restore.includes('git')
          ? { scripts: 'git@example:scripts', credentials: 'git@example:credentials' }[item.name]
          : undefined,
      )
  })
})
