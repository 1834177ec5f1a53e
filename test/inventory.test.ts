import { describe, expect, test } from 'vitest'
import { folderOf } from '../lib/backup/plan.ts'
import { selectItems } from '../lib/backup/select.ts'
import {
  type Bucket,
  type BucketName,
  buckets,
  type CommandName,
  disasterRecovery,
  type Group,
  items,
  r2Endpoint,
  type StoreName,
  stores,
} from '../lib/inventory.ts'
import { ladder } from '../lib/naming.ts'

// The specification once more, as the facts and the design's contract state it: two copies that must agree.

const images = [
  'comfyume-frontend',
  'comfyume-worker',
  'comfyume-queue-manager',
  'comfyume-nginx',
  'comfyume-admin',
]
const identity = ['tailscale', 'ssh-host-keys']
const configuration = [...identity, 'fail2ban', 'ufw', 'nginx', 'ssl', 'env']
const homes = ['home-dev', 'root-home']
const fiveThreeThree = { daily: 5, weekly: 3, monthly: 3 }
const everyHour = 'every'

describe('buckets', () => {
  const table = {
    cache: {
      name: 'comfyume-cache-backups',
      setting: 'R2_CACHE_BUCKET',
      sfs: { hours: everyHour, keep: fiveThreeThree },
      r2: { hours: [2, 6, 14, 18], keep: fiveThreeThree },
    },
    models: {
      name: 'comfyume-model-vault-backups',
      setting: 'R2_MODELS_BUCKET',
      r2: { hours: 'on addition', keep: 'all' },
    },
    containers: {
      name: 'comfyume-worker-container-backups',
      setting: 'R2_WORKER_CONTAINER_TAR_BALL_BUCKET',
      sfs: { hours: [3], keep: { daily: 1, monthly: 1 } },
      r2: { hours: [4], keep: { daily: 1, weekly: 3, monthly: 3 } },
    },
    'user-files': {
      name: 'comfyume-user-files-backups',
      setting: 'R2_USER_FILES_BUCKET',
      r2: { hours: everyHour, keep: fiveThreeThree },
    },
  }

  test('names, schedules and retention, per store', () => {
    expect(
      Object.fromEntries(
        Object.entries(buckets as Record<string, Bucket>).map(([key, { name, setting, sfs, r2 }]) => [
          key,
          sfs ? { name, setting, sfs, r2 } : { name, setting, r2 },
        ]),
      ),
    ).toEqual(table)
  })

  test.each([
    ['home-dev', 'config/home-dev-2026-02-16.tar.gz'],
    ['root-home', 'config/root-home-2026-02-16.tar.gz'],
    ['nginx', 'config/nginx-2026-02-16.tar.gz'],
    ['tailscale', 'config/tailscale-2026-02-16.tar.gz'],
    ['ssl', 'config/ssl-2026-02-16.tar.gz'],
    ['ssh-host-keys', 'config/ssh-host-keys-2026-02-16.tar.gz'],
    ['scripts', 'scripts-2026-02-16.tar.gz'],
    ['comfyume-worker', 'comfyume-worker-2026-02-16.tar.gz'],
    ['user-data', 'user-data-2026-02-16-14.tar.gz'],
    ['user-outputs', 'user-outputs-2026-02-16-14.tar.gz'],
  ])('%s is named %s', (name, key) => {
    const item = itemNamed(name)
    const { stamp } = buckets[item.bucket as BucketName]
    if (stamp === 'file') throw new Error('models alone keep their names')
    const [first] = ladder(name, new Date('2026-02-16T14:31:00Z'), stamp)
    expect(folderOf(item, 'production') + first?.name).toBe(key)
  })

  test('models keep their names, flat as on SFS', () => {
    expect(buckets.models).toMatchObject({ stamp: 'file', folder: '' })
    expect(itemNamed('models').capture).toEqual({
      kind: 'models',
      path: '$MODELS_DIR',
      folders: ['checkpoints', 'diffusion_models', 'controlnet', 'loras', 'text_encoders', 'vae'],
      extension: '.safetensors',
    })
  })

  test('the endpoint is the one in the EU', () => {
    expect(r2Endpoint).toBe('https://f1d627b48ef7a4f687d6ac469c8f1dea.eu.r2.cloudflarestorage.com')
  })
})

describe('stores', () => {
  test('only the SFS cache rotates', () => {
    const rotating = Object.entries(stores).filter(([, { rotates }]) => rotates)
    expect(rotating.map(([name]) => name)).toEqual(['sfs'])
  })

  test.each([
    ['cache', ['sfs', 'mello', 'r2', 'hetzner']],
    ['containers', ['sfs', 'mello', 'r2', 'hetzner']],
    ['models', ['r2', 'hetzner']],
    ['user-files', ['r2', 'hetzner']],
  ])('what belongs to the bucket %s reaches %j', (bucket, reached) => {
    for (const item of items.filter((item) => item.bucket === bucket))
      expect([item.name, storesOf(item.name)]).toEqual([item.name, reached])
  })
})

describe('the script matrix', () => {
  // What each command backs up when it is run without flags.
  test.each<[string, string[], CommandName[]]>([
    ['Tailscale identity', ['tailscale'], ['backup-cron', 'backup-verda']],
    ['SSH host keys', ['ssh-host-keys'], ['backup-cron', 'backup-verda']],
    ['Fail2ban, UFW configs', ['fail2ban', 'ufw'], ['backup-cron', 'backup-verda']],
    ['Project .env', ['env'], ['backup-cron', 'backup-verda']],
    ['nginx and certificates, which have no row', ['nginx', 'ssl'], ['backup-cron', 'backup-verda']],
    ['/home/dev/', ['home-dev'], ['backup-verda']],
    ['/root and the toolkit, as the bucket tables have them', ['root-home', 'scripts'], ['backup-verda']],
    ['Container images', images, ['backup-verda']],
    ['Models (.safetensors)', ['models'], ['backup-verda']],
    ['User workflows/outputs', ['user-data', 'user-outputs'], ['backup-mello']],
    ['User credentials', ['credentials'], ['backup-mello']],
  ])('%s', (_, names, commands) => {
    for (const name of names)
      expect([name, allCommands.filter((command) => selected(command).includes(name))]).toEqual([
        name,
        commands,
      ])
  })

  test('every item has its row', () => {
    const all = [
      ...configuration,
      ...homes,
      'scripts',
      ...images,
      'models',
      'user-data',
      'user-outputs',
      'credentials',
    ]
    expect(items.map(({ name }) => name).sort()).toEqual(all.sort())
  })

  test.each<[CommandName, StoreName[]]>([
    ['backup-cron', ['sfs']],
    ['backup-verda', ['mello', 'r2']],
    ['backup-mello', ['r2']],
  ])('%s writes to %j', (command, to) => {
    const written = new Set(items.flatMap((item) => item.commands[command]?.to ?? []))
    expect([...written].sort()).toEqual([...to].sort())
  })

  test('models go to R2 alone, credentials to their repository alone', () => {
    expect(itemNamed('models').commands).toEqual({ 'backup-verda': expect.objectContaining({ to: ['r2'] }) })
    expect(itemNamed('credentials').commands).toEqual({ 'backup-mello': expect.objectContaining({ to: [] }) })
  })

  test('backup-cron backs up the homes, the toolkit and the images when asked by name', () => {
    expect(selected('backup-cron', ['home-dev', 'root-home', 'scripts'])).toEqual([...homes, 'scripts'])
    expect(selected('backup-cron', ['containers'])).toEqual(images)
  })

  test.each<[CommandName, string[]]>([
    ['backup-verda', [...images, 'models']],
    ['backup-mello', ['user-outputs']],
  ])('%s --quick leaves out %j', (command, names) => {
    const quick = selectItems({ command, quick: true }).map(({ item }) => item.name)
    expect(selected(command).filter((name) => !quick.includes(name))).toEqual(names)
  })

  test.each<[Group, string[]]>([
    ['config', [...configuration, ...homes]],
    ['containers', images],
    ['models', ['models']],
    ['user-data', ['user-data', 'user-outputs']],
    ['credentials', ['credentials']],
  ])('the group %s is %j', (group, names) => {
    expect(items.filter((item) => item.group === group).map(({ name }) => name)).toEqual(names)
  })
})

describe('sources', () => {
  const required = { required: true }
  const optional = { required: false }

  test.each([
    ['tailscale', { '/var/lib/tailscale': required, '/etc/default/tailscaled': optional }],
    ['ssh-host-keys', { '/etc/ssh/ssh_host_*': required }],
    ['fail2ban', { '/etc/fail2ban': required }],
    ['ufw', { '/etc/ufw': required, '/etc/default/ufw': optional }],
    ['nginx', { '/etc/nginx': optional }],
    ['ssl', { '/etc/letsencrypt': optional, '/etc/ssl': optional }],
    ['env', { '$PROJECT_DIR/.env': required }],
    ['home-dev', { '/home/dev': required }],
    ['root-home', { '/root': required }],
    ['scripts', { $TOOLKIT_DIR: optional }],
    [
      'user-data',
      {
        '$MELLO_PROJECT_DIR/data/workflows': required,
        '$MELLO_PROJECT_DIR/data/inputs': required,
        '$MELLO_PROJECT_DIR/data/user_data': required,
        '$MELLO_PROJECT_DIR/data/custom_nodes': optional,
        '$MELLO_PROJECT_DIR/custom_nodes': optional,
      },
    ],
    ['user-outputs', { '$MELLO_PROJECT_DIR/data/outputs': required }],
    ['credentials', { '$MELLO_PROJECT_DIR/.env': required, '$MELLO_PROJECT_DIR/nginx/.htpasswd': required }],
  ])('%s comes from %j', (name, sources) => {
    const { capture } = itemNamed(name)
    if (!('sources' in capture)) throw new Error(`${name} has no sources`)
    expect(
      Object.fromEntries(
        capture.sources.map(({ path, match, required }) => [match ? `${path}/${match}` : path, { required }]),
      ),
    ).toEqual(sources)
  })

  test.each([
    ['tailscale', ['*/tailscaled.state']],
    ['ssh-host-keys', ['*/ssh_host_*_key']],
    ['scripts', ['*/package.json', '*/bin/node']],
  ])('%s is no backup without %j', (name, members) => {
    const { capture } = itemNamed(name)
    expect('sources' in capture && capture.sources.flatMap(({ mustHave }) => mustHave ?? [])).toEqual(members)
  })

  test.each(homes)('%s leaves out caches, node_modules and what other items hold', (name) => {
    const { capture } = itemNamed(name)
    expect('sources' in capture && capture.sources).toEqual([
      expect.objectContaining({
        exclude: expect.arrayContaining(['*/.cache', '*/node_modules']),
        withoutOtherItems: true,
      }),
    ])
  })

  test('images are images', () => {
    for (const name of images) expect(itemNamed(name).capture).toEqual({ kind: 'image' })
  })
})

describe('restore', () => {
  // The order of the facts comes first; what the design adds follows it.
  test.each([
    ['models', ['models'], ['sfs', 'r2'], ['hetzner']],
    [
      'config, identity, container',
      [...configuration, ...homes, ...images],
      ['root', 'sfs', 'r2'],
      ['hetzner', 'mello'],
    ],
    ['scripts', ['scripts'], ['root', 'sfs', 'git'], ['r2', 'hetzner', 'mello']],
    ['user files', ['user-data', 'user-outputs'], ['r2'], ['hetzner']],
    ['credentials', ['credentials'], ['git'], []],
  ])('%s', (_, names, order, then) => {
    for (const name of names) expect([name, itemNamed(name).restore]).toEqual([name, [...order, ...then]])
  })

  test('only the identity of the machine stays behind when a backup is restored elsewhere', () => {
    expect(items.filter(({ identity }) => identity).map(({ name }) => name)).toEqual(identity)
  })
})

test('disaster recovery', () => {
  expect(disasterRecovery.map(({ asset, backup, location }) => [asset, backup, location])).toEqual([
    ['PROD_OS', 'BACKUP_2026-02-16-PROD_OS-hiq7F8JM (block volume 009)', 'FIN-01, 100 GB, detached'],
    ['Models', 'PROD_SFS, CLONE_SFS, R2', '3 copies'],
    ['Config', 'SFS cache, R2, Mello', '3 copies'],
    ['Code', 'GitHub (comfyume-v1, comfymulti-scripts)', 'cloud'],
  ])
})

const allCommands: CommandName[] = ['backup-cron', 'backup-verda', 'backup-mello']

function selected(command: CommandName, only?: string[]): string[] {
  return selectItems({ command, ...(only ? { only } : {}) }).map(({ item }) => item.name)
}

/** Every store that some command writes the item to, in the inventory's order. */
function storesOf(name: string): string[] {
  const reached = allCommands
    .filter((command) => itemNamed(name).commands[command])
    .flatMap((command) => selectItems({ command, only: [name] }).flatMap((one) => one.stores))
  return Object.keys(stores).filter((store) => reached.includes(store as StoreName))
}

function itemNamed(name: string) {
  const item = items.find((item) => item.name === name)
  if (item === undefined) throw new Error(`the inventory has no ${name}`)
  return item
}
