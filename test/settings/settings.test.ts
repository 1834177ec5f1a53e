import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readDotEnv } from '../../lib/settings/env-file.ts'
import {
  examineSettings,
  isLibraryImage,
  loadEnvironment,
  readSettings,
  SettingsError,
  settingNames,
} from '../../lib/settings/settings.ts'

const r2Keys = { R2_ACCESS_KEY_ID: 'id', R2_SECRET_ACCESS_KEY: 'very-secret' }

describe('without any setting', () => {
  test('the defaults are those of the contract', () => {
    expect(readSettings({})).toMatchObject({
      environment: 'production',
      sfs: { root: '/mnt/sfs', cache: '/mnt/sfs/cache', requireMount: true },
      melloBackups: path.join(homedir(), 'backups/verda'),
      verdaSsh: 'verda',
      roots: { verda: '/', mello: '/' },
      projectDir: { verda: '/home/dev/comfyume-v1', mello: '/home/dev/comfyume-v1' },
      modelsDir: '/mnt/sfs/models',
      userDataHost: 'mello',
      images: {},
      tailscale: { expectedAddress: '100.89.38.43' },
      repositories: {},
    })
  })

  test('there is no object store, and no time but the clock', () => {
    const settings = readSettings({})
    expect(settings.r2).toBeUndefined()
    expect(settings.hetzner).toBeUndefined()
    expect(settings.now).toBeUndefined()
  })

  test('an empty setting is one that was not given', () => {
    expect(readSettings({ SFS_ROOT: '', ENVIRONMENT: '', BACKUP_NOW: '' })).toEqual(readSettings({}))
  })
})

test.each([
  [{ SFS_ROOT: '/mnt/other' }, { sfs: { root: '/mnt/other', cache: '/mnt/other/cache' } }],
  [{ SFS_ROOT: '/mnt/other/', SFS_CACHE: '/x/' }, { sfs: { root: '/mnt/other', cache: '/x' } }],
  [{ MELLO_BACKUPS: '~/b' }, { melloBackups: path.join(homedir(), 'b') }],
  [{ MELLO_BACKUPS: '~' }, { melloBackups: homedir() }],
  [
    { SFS_PROD: 'nfs.fin-01.datacrunch.io:/PROD-1', SFS_CLONE: 'h:/', SFS_MOUNT_OPTIONS: 'nconnect=16' },
    { sfs: { prod: 'nfs.fin-01.datacrunch.io:/PROD-1', clone: 'h:/', mountOptions: 'nconnect=16' } },
  ],
  [{ VERDA_ROOT: '/v', MELLO_ROOT: '/m' }, { roots: { verda: '/v', mello: '/m' } }],
  [
    { TOOLKIT_DIR: '/t', CONTAINER_ENGINE: 'podman' },
    { toolkitDir: '/t', containerEngine: 'podman' },
  ],
  [
    { PROJECT_REPO: 'p', SCRIPTS_REPO: 's', CREDENTIALS_REPO: 'c' },
    { repositories: { project: 'p', scripts: 's', credentials: 'c' } },
  ],
  [
    { VERDA_SSH: 'dev@verda', VERDA_TAILSCALE_IP: '100.64.0.1' },
    { verdaSsh: 'dev@verda', tailscale: { expectedAddress: '100.64.0.1' } },
  ],
  [
    { ENVIRONMENT: 'staging', USER_DATA_HOST: 'verda', SFS_REQUIRE_MOUNT: '0' },
    { environment: 'staging', userDataHost: 'verda', sfs: { requireMount: false } },
  ],
  [{ UPLOAD_LIMIT: '20M' }, { uploadLimit: 20 * 1024 * 1024 }],
  [{ PROJECT_DIR: '/p' }, { projectDir: { verda: '/p', mello: '/p' } }],
  [{ PROJECT_DIR: '/p', MELLO_PROJECT_DIR: '/m' }, { projectDir: { verda: '/p', mello: '/m' } }],
  [{ BACKUP_NOW: '2026-11-24' }, { now: new Date('2026-11-24T00:00:00Z') }],
  [{ BACKUP_NOW: '2026-11-24T03:00' }, { now: new Date('2026-11-24T03:00:00Z') }],
  [{ BACKUP_NOW: '2026-11-24T03:00:00+02:00' }, { now: new Date('2026-11-24T01:00:00Z') }],
  [
    { CONTAINER_IMAGES: 'comfyume-worker=reg.io/a/b:v1, comfyume-nginx=comfyume-nginx@sha256:ab,' },
    { images: { 'comfyume-worker': 'reg.io/a/b:v1', 'comfyume-nginx': 'comfyume-nginx@sha256:ab' } },
  ],
  [{ ...r2Keys, R2_ENDPOINT: 'http://127.0.0.1:9000/' }, { r2: { endpoint: 'http://127.0.0.1:9000' } }],
  [r2Keys, { r2: { endpoint: expect.stringContaining('.eu.r2.cloudflarestorage.com') } }],
])('%j is read', (env, expected) => {
  expect(readSettings(env)).toMatchObject(expected)
})

describe('wrong settings', () => {
  test.each([
    [{ ENVIRONMENT: 'prod' }, 'ENVIRONMENT must be one of production, staging, testing; it is "prod"'],
    [{ SFS_REQUIRE_MOUNT: 'no' }, 'SFS_REQUIRE_MOUNT must be one of 0, 1'],
    [{ SFS_ROOT: 'mnt/sfs' }, 'SFS_ROOT must be an absolute path'],
    [{ MELLO_BACKUPS: '~dev/x' }, 'MELLO_BACKUPS must be an absolute path'],
    [{ SFS_CLONE: 'nfs:/a b' }, 'SFS_CLONE must be an NFS share as host:/path; it is "nfs:/a b"'],
    [{ SFS_CLONE: 'two words:/a' }, 'SFS_CLONE must be an NFS share'],
    [{ SFS_CLONE: 'a:b:/c' }, 'SFS_CLONE must be an NFS share'],
    [{ SFS_CLONE: ':/c' }, 'SFS_CLONE must be an NFS share'],
    [{ VERDA_TAILSCALE_IP: 'x1.2.3.4' }, 'VERDA_TAILSCALE_IP must be an IPv4 address'],
    [{ VERDA_TAILSCALE_IP: '1.2.3.4.5' }, 'VERDA_TAILSCALE_IP must be an IPv4 address'],
    [{ VERDA_SSH: 'two words' }, 'VERDA_SSH must be a destination for ssh'],
    [{ CONTAINER_IMAGES: 'comfyume-worker=-x/y' }, 'gives comfyume-worker no image reference: "-x/y"'],
    [{ CONTAINER_IMAGES: 'comfyume-worker=x/y z' }, 'gives comfyume-worker no image reference: "x/y z"'],
    [{ CONTAINER_IMAGES: 'comfyume-worker' }, 'gives comfyume-worker no image reference: ""'],
    [{ CONTAINER_IMAGES: 'x=y' }, 'the images are comfyume-frontend, comfyume-worker'],
    [{ R2_ENDPOINT: 'ftp://host' }, 'R2_ENDPOINT must begin with https:// or http://'],
    [{ R2_ENDPOINT: 'https://u@host' }, 'R2_ENDPOINT must not hold a user or a password'],
    [{ R2_ENDPOINT: 'https://:p@host' }, 'R2_ENDPOINT must not hold a user or a password'],
    [{ R2_ENDPOINT: 'https://host/?x=y' }, 'R2_ENDPOINT must be a host alone'],
    [{ HETZNER_ACCESS_KEY_ID: 'i' }, 'HETZNER_ENDPOINT is missing: HETZNER has keys but no address'],
    [{ HETZNER_SECRET_ACCESS_KEY: 's' }, 'HETZNER_ENDPOINT is missing: HETZNER has keys but no address'],
    [{ BACKUP_PING_URL: 'see https://hc-ping.com/x' }, 'BACKUP_PING_URL must begin with https://'],
    [{ SFS_PROD: '/share' }, 'SFS_PROD must be an NFS share as host:/path'],
    [{ VERDA_SSH: '-oProxyCommand=x' }, 'VERDA_SSH must be a destination for ssh'],
    [{ VERDA_TAILSCALE_IP: 'verda' }, 'VERDA_TAILSCALE_IP must be an IPv4 address'],
    [{ USER_DATA_HOST: 'r2' }, 'USER_DATA_HOST must be one of mello, verda'],
    [{ CONTAINER_IMAGES: 'worker=a/b' }, 'CONTAINER_IMAGES names "worker"; the images are comfyume-frontend'],
    [{ CONTAINER_IMAGES: 'comfyume-worker' }, 'CONTAINER_IMAGES gives comfyume-worker no image reference'],
    [{ CONTAINER_IMAGES: 'comfyume-nginx=nginx:alpine' }, 'the public image nginx:alpine'],
    [{ R2_CACHE_BUCKET: 'Upper' }, "R2_CACHE_BUCKET must be a bucket's name"],
    [{ R2_ACCESS_KEY_ID: 'id' }, 'R2_SECRET_ACCESS_KEY is missing'],
    [{ R2_ENDPOINT: 'https://abc.r2.cloudflarestorage.com' }, 'R2_ENDPOINT lacks .eu'],
    [{ R2_ENDPOINT: 'https://abc.eu.r2.cloudflarestorage.com/bucket' }, 'R2_ENDPOINT must be a host alone'],
    [{ R2_ENDPOINT: 'abc' }, '.eu.r2.cloudflarestorage.com; it is "abc"'],
    [{ HETZNER_ENDPOINT: 'https://fsn1.your-objectstorage.com' }, 'HETZNER_ACCESS_KEY_ID is missing'],
    [{ HETZNER_ACCESS_KEY_ID: 'i', HETZNER_SECRET_ACCESS_KEY: 's' }, 'HETZNER_ENDPOINT is missing'],
    [{ UPLOAD_LIMIT: 'fast' }, 'UPLOAD_LIMIT must be a size a second such as 20M'],
    [{ UPLOAD_LIMIT: '100K' }, 'and at least 256K'],
    [{ BACKUP_NOW: '2026-02-30' }, 'BACKUP_NOW must be a time such as'],
    [{ BACKUP_NOW: '2026-02-30T10:00:00Z' }, 'BACKUP_NOW must be a time such as'],
    [{ BACKUP_NOW: '2026-11-24T25:00' }, 'BACKUP_NOW must be a time such as'],
    [{ BACKUP_NOW: '1764000000' }, 'BACKUP_NOW must be a time such as'],
    [{ BACKUP_PING_URL: 'hc-ping.com/x' }, 'BACKUP_PING_URL must begin with https://'],
  ])('%j', (env, says) => {
    expect(() => readSettings(env)).toThrow(SettingsError)
    expect(() => readSettings(env)).toThrow(says)
  })

  test('are all named in one message, each once', () => {
    const error = failureOf(() => readSettings({ ENVIRONMENT: 'x', SFS_ROOT: 'y', BACKUP_NOW: 'z' }, ['r2']))
    expect(error.name).toBe('SettingsError')
    expect(error.message.split('\n').slice(1)).toEqual(
      error.problems.map(({ setting, why }) => `  ${setting} ${why}`),
    )
    expect(error.problems.map(({ setting }) => setting)).toEqual([
      'ENVIRONMENT',
      'SFS_ROOT',
      'BACKUP_NOW',
      'R2_ACCESS_KEY_ID',
      'R2_SECRET_ACCESS_KEY',
    ])
  })

  test('a store that the run needs must have its keys', () => {
    expect(() => readSettings({}, ['r2'])).toThrow('R2_ACCESS_KEY_ID is missing')
    expect(linesOf(failureOf(() => readSettings({}, ['hetzner'])))).toEqual([
      expect.stringMatching(/^HETZNER_ACCESS_KEY_ID is missing/),
      expect.stringMatching(/^HETZNER_SECRET_ACCESS_KEY is missing/),
      'HETZNER_ENDPOINT is missing: HETZNER cannot be used without it',
    ])
    expect(() => readSettings({}, ['sfs', 'mello'])).not.toThrow()
  })
})

describe('law 9: secrets', () => {
  const secrets = {
    ...r2Keys,
    TAILSCALE_AUTHKEY: 'tskey-very-secret',
    BACKUP_PING_URL: 'https://ping/very-secret',
  }

  test('are not in what is printed of settings, in whichever way', () => {
    const settings = readSettings(secrets)
    const printed = [JSON.stringify(settings), inspect(settings, { depth: 9, showHidden: true })]
    printed.push(`${settings.pingUrl} ${settings.tailscale.authKey} ${settings.r2?.secretAccessKey}`)
    for (const text of printed) expect(text).not.toContain('very-secret')
    expect(settings.r2?.secretAccessKey.reveal()).toBe('very-secret')
    expect(settings.tailscale.authKey?.reveal()).toBe('tskey-very-secret')
    expect(settings.pingUrl?.reveal()).toBe('https://ping/very-secret')
  })

  test('are not in the message about wrong settings', () => {
    const wrong = { ...secrets, BACKUP_PING_URL: 'very-secret', R2_ENDPOINT: 'https://u:very-secret@host' }
    expect(failureOf(() => readSettings(wrong)).message).not.toContain('very-secret')
    const cut = { R2_ENDPOINT: 'https://u:very-secret@', HETZNER_ENDPOINT: '//u:very-secret@host' }
    expect(linesOf(failureOf(() => readSettings(cut)))).toEqual([
      expect.stringMatching(/^R2_ENDPOINT must be an address such as https:\/\/\S*\.com$/),
      expect.stringMatching(/^HETZNER_ENDPOINT must be an address such as https:\/\/\S*\.com$/),
      expect.stringMatching(/^HETZNER_ACCESS_KEY_ID is missing/),
      expect.stringMatching(/^HETZNER_SECRET_ACCESS_KEY is missing/),
    ])
  })
})

describe('.env', () => {
  test.each([
    ['A=b', { A: 'b' }],
    ['A=pa$$word$HOME', { A: 'pa$$word$HOME' }],
    ['A="pa$$ #x"', { A: 'pa$$ #x' }],
    ["A='it'", { A: 'it' }],
    ['A=a#b \\n "c"', { A: 'a#b \\n "c"' }],
    ['  export A = b  ', { A: 'b' }],
    ['A=', { A: '' }],
    ['A=b=c', { A: 'b=c' }],
    ['\uFEFFA=1\r\n# comment\r\n\r\nB=2\r\n', { A: '1', B: '2' }],
    ['A="a" b"', { A: '"a" b"' }],
    ['  \t\n  # indented\nexport   A=b', { A: 'b' }],
    ['A=x\uFEFFy', { A: 'x\uFEFFy' }],
    ['A=x\n\uFEFFB=y', { A: 'x', B: 'y' }],
  ])('%j is taken literally', (text, values) => {
    expect(readDotEnv(text)).toEqual({ values, wrongLines: [] })
  })

  test('a line that is no setting is named by its number, and its text is not shown', () => {
    expect(readDotEnv('A=1\nvery-secret\n=x\nnot A=1\n')).toEqual({
      values: { A: '1' },
      wrongLines: [2, 3, 4],
    })
  })

  describe('in a folder', () => {
    let folder: string
    beforeEach(() => {
      folder = mkdtempSync(path.join(tmpdir(), 'settings-'))
    })
    afterEach(() => {
      rmSync(folder, { recursive: true })
      delete process.env.SETTINGS_TEST
    })

    test('the environment wins over it', () => {
      writeFileSync(path.join(folder, '.env'), 'SETTINGS_TEST=file\nSETTINGS_OTHER=file\n')
      expect(loadEnvironment(folder)).toMatchObject({ SETTINGS_TEST: 'file', SETTINGS_OTHER: 'file' })
      process.env.SETTINGS_TEST = 'environment'
      expect(loadEnvironment(folder)).toMatchObject({ SETTINGS_TEST: 'environment', SETTINGS_OTHER: 'file' })
    })

    test('it may be missing, but not unreadable', () => {
      expect(loadEnvironment(folder).PATH).toBe(process.env.PATH)
      mkdirSync(path.join(folder, '.env'))
      expect(() => loadEnvironment(folder)).toThrow(/\.env in .* cannot be read/)
    })

    test('a line that is no setting stops a run', () => {
      writeFileSync(path.join(folder, '.env'), 'SETTINGS_TEST=file\nvery-secret\n')
      expect(linesOf(failureOf(() => loadEnvironment(folder)))).toEqual(['.env line 2 is not NAME=value'])
    })
  })
})

test('whoever goes on in spite of wrong settings gets the right ones, and defaults for the others', () => {
  const { settings, problems } = examineSettings({ SFS_ROOT: 'share', MODELS_DIR: '/models' })
  expect(settings).toMatchObject({ modelsDir: '/models', verdaSsh: 'verda' })
  expect(problems).toEqual([{ setting: 'SFS_ROOT', why: expect.stringMatching(/^must be an absolute path/) }])
})

test('the names of all settings are known, those of keys and of their tokens among them', () => {
  const names = settingNames()
  expect(names).toEqual(
    expect.arrayContaining(['ENVIRONMENT', 'HETZNER_SESSION_TOKEN', 'R2_CACHE_BUCKET', 'R2_SESSION_TOKEN']),
  )
  expect(names.length).toBeGreaterThan(35)
  expect(names).toEqual(names.toSorted())
})

test.each([
  ['nginx', true],
  ['library/nginx', true],
  ['a.example/library/nginx', false],
  ['my-docker.io/library/nginx', false],
  ['nginx:alpine', true],
  ['docker.io/library/nginx:1', true],
  ['docker.io/nginx', true],
  ['comfyume-nginx:v0.11.0', false],
  ['docker.io/library/comfyume-nginx', false],
  ['ahelme/nginx', false],
  ['registry.example:5000/nginx', false],
])('%s: a library image is %s', (reference, expected) => {
  expect(isLibraryImage(reference)).toBe(expected)
})

function linesOf({ problems }: SettingsError): string[] {
  return problems.map(({ setting, why }) => `${setting} ${why}`)
}

function failureOf(action: () => unknown): SettingsError {
  try {
    action()
  } catch (error) {
    if (error instanceof SettingsError) return error
    throw error
  }
  throw new Error('no SettingsError was thrown')
}

test('with half of its keys an object store is none, for whoever goes on', () => {
  expect(examineSettings({ R2_ACCESS_KEY_ID: 'i' }).settings.r2).toBeUndefined()
  expect(examineSettings({ R2_SECRET_ACCESS_KEY: 's' }).settings.r2).toBeUndefined()
  expect(examineSettings({ SFS_ROOT: 'share' }).settings.sfs.root).toBe('/mnt/sfs')
})

test('an address with http alone will do for the ping', () => {
  expect(readSettings({ BACKUP_PING_URL: 'http://h' }).pingUrl?.reveal()).toBe('http://h')
})
