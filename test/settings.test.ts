import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readDotEnv } from '../lib/dot-env.ts'
import {
  examineSettings,
  isLibraryImage,
  loadEnvironment,
  readSettings,
  SettingsError,
  settingNames,
} from '../lib/settings.ts'

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
    [{ SFS_PROD: '/share' }, 'SFS_PROD must be an NFS share as host:/path'],
    [{ VERDA_SSH: '-oProxyCommand=x' }, 'VERDA_SSH must be a destination for ssh'],
    [{ VERDA_TAILSCALE_IP: 'verda' }, 'VERDA_TAILSCALE_IP must be an IPv4 address'],
    [{ USER_DATA_HOST: 'r2' }, 'USER_DATA_HOST must be one of mello, verda'],
    [{ CONTAINER_IMAGES: 'worker=a/b' }, 'CONTAINER_IMAGES names "worker"; the images are comfyume-frontend'],
    [{ CONTAINER_IMAGES: 'comfyume-worker' }, 'CONTAINER_IMAGES gives comfyume-worker no image reference'],
    [{ CONTAINER_IMAGES: 'comfyume-nginx=nginx:alpine' }, 'the public image nginx:alpine'],
    [{ R2_CACHE_BUCKET: 'Upper' }, "R2_CACHE_BUCKET must be a bucket's name"],
    [{ R2_ACCESS_KEY_ID: 'id' }, 'R2_SECRET_ACCESS_KEY is missing'],
    [{ R2_ENDPOINT: 'https://abc.r2.cloudflarestorage.com' }, 'R2_ENDPOINT is without .eu'],
    [{ R2_ENDPOINT: 'https://abc.eu.r2.cloudflarestorage.com/bucket' }, 'R2_ENDPOINT must be a host alone'],
    [{ R2_ENDPOINT: 'abc' }, 'R2_ENDPOINT must be an address such as https://'],
    [{ HETZNER_ENDPOINT: 'https://fsn1.your-objectstorage.com' }, 'HETZNER_ACCESS_KEY_ID is missing'],
    [{ HETZNER_ACCESS_KEY_ID: 'i', HETZNER_SECRET_ACCESS_KEY: 's' }, 'HETZNER_ENDPOINT is missing'],
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
    expect(error.problems.map((problem) => problem.split(' ')[0])).toEqual([
      'SFS_ROOT',
      'ENVIRONMENT',
      'R2_ACCESS_KEY_ID',
      'R2_SECRET_ACCESS_KEY',
      'BACKUP_NOW',
    ])
  })

  test('a store that the run needs must have its keys', () => {
    expect(() => readSettings({}, ['r2'])).toThrow('R2_ACCESS_KEY_ID is missing')
    expect(() => readSettings({}, ['hetzner'])).toThrow('HETZNER_ENDPOINT is missing')
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
  })

  test('are not in the message about wrong settings', () => {
    const wrong = { ...secrets, BACKUP_PING_URL: 'very-secret', R2_ENDPOINT: 'https://u:very-secret@host' }
    expect(failureOf(() => readSettings(wrong)).message).not.toContain('very-secret')
    const cut = { R2_ENDPOINT: 'https://u:very-secret@', HETZNER_ENDPOINT: '//u:very-secret@host' }
    expect(failureOf(() => readSettings(cut)).problems).toEqual([
      expect.stringMatching(/^R2_ENDPOINT must be an address such as https:\/\/[^;]*$/),
      expect.stringMatching(/^HETZNER_ACCESS_KEY_ID is missing/),
      expect.stringMatching(/^HETZNER_SECRET_ACCESS_KEY is missing/),
      expect.stringMatching(/^HETZNER_ENDPOINT must be an address such as https:\/\/[^;]*$/),
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
  ])('%j is taken literally', (text, values) => {
    expect(readDotEnv(text)).toEqual({ values, problems: [] })
  })

  test('a line that is no setting is named by its number, and its text is not shown', () => {
    expect(readDotEnv('A=1\nvery-secret\n=x\n')).toEqual({
      values: { A: '1' },
      problems: ['.env line 2 is not NAME=value', '.env line 3 is not NAME=value'],
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
      expect(failureOf(() => loadEnvironment(folder)).problems).toEqual(['.env line 2 is not NAME=value'])
    })
  })
})

test('whoever goes on in spite of wrong settings gets the right ones', () => {
  const { settings, problems } = examineSettings({ SFS_ROOT: 'share', MODELS_DIR: '/models' })
  expect(settings).toMatchObject({ modelsDir: '/models', verdaSsh: 'verda' })
  expect(problems).toEqual([expect.stringMatching(/^SFS_ROOT must be an absolute path/)])
})

test('the names of all settings are known, those of keys and of their tokens among them', () => {
  const names = settingNames()
  expect(names).toEqual(
    expect.arrayContaining(['ENVIRONMENT', 'HETZNER_SESSION_TOKEN', 'R2_CACHE_BUCKET', 'R2_SESSION_TOKEN']),
  )
  expect(names.length).toBeGreaterThan(35)
})

test.each([
  ['nginx', true],
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

function failureOf(action: () => unknown): SettingsError {
  try {
    action()
  } catch (error) {
    if (error instanceof SettingsError) return error
    throw error
  }
  throw new Error('no SettingsError was thrown')
}
