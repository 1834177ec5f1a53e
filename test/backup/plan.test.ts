import { describe, expect, test } from 'vitest'
import { folderOf, makePlan } from '../../lib/backup/plan.ts'
import { namesOf, type Request, selectItems } from '../../lib/backup/select.ts'
import { type CommandName, type Item, items } from '../../lib/inventory.ts'
import { readSettings } from '../../lib/settings/settings.ts'

const now = new Date('2026-11-24T10:00:00Z')
const keys = { R2_ACCESS_KEY_ID: 'i', R2_SECRET_ACCESS_KEY: 's' }
const hetzner = {
  HETZNER_ENDPOINT: 'https://fsn1.your-objectstorage.com',
  HETZNER_ACCESS_KEY_ID: 'i',
  HETZNER_SECRET_ACCESS_KEY: 's',
}

const plan = (command: CommandName, request: Omit<Request, 'command'>, env: Record<string, string> = {}) =>
  makePlan(command, selectItems({ command, ...request }), readSettings({ ...keys, ...env }), now)

/** The job of the one item that --only names, which may be a group's name as well. */
const onlyJob = (command: CommandName, request: { only: [string] }, env: Record<string, string> = {}) => {
  const job = plan(command, request, env).jobs.find(({ item }) => item === request.only[0])
  if (!job) throw new Error(`no job for ${request.only[0]}`)
  return job
}

const excludesOf = (...args: Parameters<typeof onlyJob>) => {
  const { capture } = onlyJob(...args)
  return capture.kind === 'files' ? (capture.sources[0]?.exclude ?? []) : []
}

test('law 10: the same arguments give the same plan', () => {
  expect(plan('backup-verda', {})).toEqual(plan('backup-verda', {}))
})

test.each<[string, CommandName, string, Record<string, string>, object]>([
  [
    'SFS rotates',
    'backup-cron',
    'env',
    {},
    [{ store: 'sfs', folder: 'config/', stamp: 'day', keep: { daily: 5, weekly: 3, monthly: 3 } }],
  ],
  [
    'images on SFS',
    'backup-cron',
    'comfyume-admin',
    {},
    [{ store: 'sfs', folder: '', stamp: 'day', keep: { daily: 1, monthly: 1 } }],
  ],
  ['scripts lie beside config/', 'backup-cron', 'scripts', {}, [{ store: 'sfs', folder: '' }]],
  ['staging', 'backup-cron', 'env', { ENVIRONMENT: 'staging' }, [{ folder: 'staging/config/' }]],
  ['testing', 'backup-cron', 'scripts', { ENVIRONMENT: 'testing' }, [{ folder: 'testing/' }]],
  [
    'law 4: nothing but SFS has a keep rule',
    'backup-verda',
    'env',
    {},
    [{ store: 'mello' }, { store: 'r2' }],
  ],
  [
    'Hetzner follows R2 once it is set',
    'backup-verda',
    'env',
    hetzner,
    [{ store: 'mello' }, { store: 'r2' }, { store: 'hetzner' }],
  ],
  [
    'user data is stamped by the hour',
    'backup-mello',
    'user-data',
    {},
    [{ store: 'r2', bucket: 'user-files', folder: '', stamp: 'hour' }],
  ],
])('targets: %s', (_, command, item, env, expected) => {
  const { targets } = onlyJob(command, { only: [item] }, env)
  expect(targets).toMatchObject(expected)
  for (const { store, keep } of targets) expect(keep !== undefined).toBe(store === 'sfs')
})

describe('sources', () => {
  test.each<[CommandName, string, Record<string, string>, string, string]>([
    ['backup-cron', 'env', {}, 'verda', '/home/dev/comfyume-v1/.env'],
    ['backup-cron', 'env', { PROJECT_DIR: '/srv/p' }, 'verda', '/srv/p/.env'],
    ['backup-mello', 'user-data', { MELLO_PROJECT_DIR: '/m' }, 'mello', '/m/data/workflows'],
    [
      'backup-mello',
      'user-data',
      { USER_DATA_HOST: 'verda' },
      'verda',
      '/home/dev/comfyume-v1/data/workflows',
    ],
  ])('%s %s %j: on %s, %s', (command, item, env, host, path) => {
    const job = onlyJob(command, { only: [item] }, env)
    expect(job.host).toBe(host)
    expect(job.capture).toMatchObject({
      kind: 'files',
      sources: expect.arrayContaining([expect.objectContaining({ path })]),
    })
  })

  test('a home leaves out caches, what other items hold, stores and staged archives, and nothing else of its own', () => {
    const excludes = excludesOf(
      'backup-cron',
      { only: ['home-dev'] },
      { SFS_ROOT: '/home/dev/sfs', USER_DATA_HOST: 'verda' },
    )
    for (const expected of [
      '*/node_modules',
      '*/.cache',
      '/home/dev/comfyume-v1/.env',
      '/home/dev/comfyume-v1/data/outputs',
      '/home/dev/sfs/cache',
      '/home/dev/env-latest.tar.gz*',
      '/home/dev/tailscale-20[0-9][0-9]-[0-1][0-9]-[0-3][0-9]*.tar.gz*',
    ])
      expect(excludes).toContain(expected)
    for (const mine of ['/home/dev', '/home/dev/', '/root']) expect(excludes).not.toContain(mine)
    expect(excludes.filter((pattern) => pattern.startsWith('/var') || pattern.startsWith('/etc'))).toEqual([])
  })

  test('a folder is meant literally, whatever its name', () => {
    expect(excludesOf('backup-cron', { only: ['home-dev'] }, { PROJECT_DIR: '/home/dev/p[1]*\\' })).toContain(
      '/home/dev/p\\[1]\\*\\\\/.env',
    )
  })

  test('a store that lies elsewhere than under the root is no exclude', () => {
    const excludes = excludesOf(
      'backup-cron',
      { only: ['root-home'] },
      { VERDA_ROOT: '/drill', SFS_ROOT: '/root/sfs' },
    )
    expect(excludes.some((pattern) => pattern.includes('sfs'))).toBe(false)
  })
})

test('what --to leaves without a store is skipped, and says so', () => {
  const { jobs, skipped } = plan('backup-verda', { only: ['env', 'models'], to: ['mello'] })
  expect(jobs.map(({ item }) => item)).toEqual(['env'])
  expect(skipped).toEqual([{ item: 'models', reason: 'goes to r2 alone, which --to leaves out' }])
})

test('law 9: a plan holds no secret', () => {
  const env = { ...hetzner, HETZNER_SECRET_ACCESS_KEY: 'very-secret', TAILSCALE_AUTHKEY: 'very-secret' }
  expect(JSON.stringify(plan('backup-verda', {}, env))).not.toContain('very-secret')
})

describe('what a capture is told', () => {
  const captureOfOnly = (...args: Parameters<typeof onlyJob>) => onlyJob(...args).capture

  test('models: where they are, with their folders', () => {
    expect(captureOfOnly('backup-verda', { only: ['models'] }, { MODELS_DIR: '/srv/models' })).toMatchObject({
      kind: 'models',
      path: '/srv/models',
      extension: '.safetensors',
    })
  })

  test('an image as it stands, and a repository with its paths filled in', () => {
    expect(captureOfOnly('backup-cron', { only: ['comfyume-admin'] })).toMatchObject({ kind: 'image' })
    expect(
      captureOfOnly('backup-mello', { only: ['credentials'] }, { MELLO_PROJECT_DIR: '/m' }),
    ).toMatchObject({
      kind: 'repository',
      sources: expect.arrayContaining([expect.objectContaining({ path: '/m/.env' })]),
    })
  })

  test('a source without excludes has none, and one with others says no more than those', () => {
    const { capture } = onlyJob('backup-cron', { only: ['fail2ban'] })
    expect(capture).toMatchObject({ kind: 'files' })
    for (const source of capture.kind === 'files' ? capture.sources : []) {
      expect(source).not.toHaveProperty('withoutOtherItems')
      if ('exclude' in source) expect(source.exclude).not.toEqual([])
    }
    expect(excludesOf('backup-cron', { only: ['env'] })).toEqual([])
  })

  test('a home leaves out models, single files of other items and the store of its own host, of no other host', () => {
    const env = {
      MODELS_DIR: '/home/dev/models',
      PROJECT_DIR: '/home/dev/p',
      MELLO_PROJECT_DIR: '/home/dev/m',
      MELLO_BACKUPS: '/home/dev/backups',
      SFS_ROOT: '/home/dev/sfs',
    }
    const excludes = excludesOf('backup-cron', { only: ['home-dev'] }, env)
    expect(excludes).toContain('/home/dev/models')
    expect(excludes).toContain('/home/dev/p/.env')
    expect(excludes).toContain('/home/dev/sfs/cache')
    for (const theirs of ['/home/dev/backups', '/home/dev/m/data/outputs', '/home/dev/m/.env'])
      expect(excludes).not.toContain(theirs)
    expect(excludes.every((pattern) => typeof pattern === 'string' && /^[/*]/.test(pattern))).toBe(true)
  })

  test('a dollar sign in the middle of a path is one', () => {
    const capture = captureOfOnly('backup-cron', { only: ['env'] }, { PROJECT_DIR: '/srv/$MODELS_DIR' })
    expect(capture).toMatchObject({ sources: [expect.objectContaining({ path: '/srv/$MODELS_DIR/.env' })] })
  })

  test('an item that lies in no bucket has no folder of its own', () => {
    const credentials = items.find(({ name }) => name === 'credentials') as Item
    expect(folderOf(credentials, 'production')).toBe('')
    expect(folderOf(credentials, 'staging')).toBe('staging/')
  })

  test('where a rule keeps everything, nothing is rotated', () => {
    for (const { item, targets } of plan('backup-cron', {
      only: namesOf(items.filter(({ commands }) => commands['backup-cron'])),
    }).jobs)
      for (const { keep } of targets)
        if (keep !== undefined)
          expect(
            Object.values(keep).every((count) => count > 0),
            item,
          ).toBe(true)
  })
})
