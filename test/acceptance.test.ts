import { describe, expect, test } from 'vitest'
import {
  deviceTypes,
  type FoundSource,
  isAbsent,
  judgeImage,
  keystonesOf,
  longestPath,
  mustHaveOf,
  sourceName,
  tagsOfImage,
  tooLongPattern,
  unfit,
  warningText,
  whyNoBackup,
  whyShrunken,
  whyWorthless,
  whyWorthlessText,
} from '../lib/acceptance.ts'
import { items, type Source } from '../lib/inventory.ts'

describe('members', () => {
  test.each([
    ['a file', 'f', 'home/dev/a'],
    ['a folder', 'd', 'home/dev'],
    ['a link, wherever it leads', 'l', 'home/dev/up'],
    ['a named pipe', 'p', 'home/dev/pipe'],
    ['a name of 255 bytes', 'f', `home/${'x'.repeat(255)}`],
    ['a path with room for a staging folder', 'f', 'a/'.repeat(longestPath / 2 - 1)],
  ])('%s is data', (_, type, path) => {
    expect(unfit(path, type)).toBeUndefined()
  })

  test.each([
    ['a character device', 'c', 'home/dev/whiteout', 'device'],
    ['a block device', 'b', 'a', 'device'],
    ['a door', 'D', 'a', 'device'],
    ['what find cannot tell', '?', 'a', 'device'],
    ['a socket', 's', 'a', 'socket'],
    ['a name of 256 bytes', 'f', `home/${'x'.repeat(256)}`, 'name too long'],
    ['a path for which no restore has room', 'd', 'a/'.repeat(longestPath / 2 + 1), 'path too long'],
  ])('%s is left out', (_, type, path, kind) => {
    expect(unfit(path, type)).toBe(kind)
  })

  test('find and tar are told the same', () => {
    for (const type of deviceTypes) expect(unfit('a', type)).toBe('device')
    expect(tooLongPattern.replace('*', '')).toHaveLength(longestPath + 1)
  })

  test('a warning is one short line', () => {
    const lines = [
      warningText({ kind: 'device', path: 'a\nb' }),
      warningText({ kind: 'path too long', path: 'a/'.repeat(3000) }),
    ]
    expect(lines[0]).toBe('a\\u000ab is a device and is left out')
    expect(lines[1]).toMatch(/^.{150,300} is left out: its path is too long$/)
  })
})

describe('sources', () => {
  const required = (path: string): Source => ({ path, required: true })
  const optional = (path: string): Source => ({ path, required: false })
  const found = (source: string, files: number, is: FoundSource['is'] = 'there'): FoundSource => ({
    source,
    is,
    files,
    bytes: files * 10,
  })

  test.each<[string, Source[], FoundSource[]]>([
    ['required ones with content', [required('/a'), required('/b')], [found('/a', 1), found('/b', 2)]],
    [
      'an optional one that is missing',
      [required('/a'), optional('/b')],
      [found('/a', 1), found('/b', 0, 'missing')],
    ],
    ['an optional one that is empty', [optional('/a'), optional('/b')], [found('/a', 1), found('/b', 0)]],
    ['optional ones that are all empty', [optional('/a')], [found('/a', 0)]],
    [
      'a required one that may be empty',
      [required('/a'), { ...required('/b'), mayBeEmpty: true }],
      [found('/a', 1), found('/b', 0)],
    ],
  ])('%s are a backup', (_, sources, looks) => {
    expect(whyNoBackup(sources, looks, 'verda')).toBeUndefined()
  })

  test.each<[string, Source[], FoundSource[], string]>([
    [
      'a required one that is missing',
      [required('/a'), required('/b')],
      [found('/a', 1), found('/b', 0, 'missing')],
      '/b missing on verda',
    ],
    [
      'a required one that is a link elsewhere, beside one with content',
      [required('/a'), required('/b')],
      [found('/a', 1), found('/b', 0, 'link')],
      '/b on verda is only a link',
    ],
    [
      'a required one that is empty, beside one with content',
      [required('/a'), required('/b')],
      [found('/a', 1), found('/b', 0)],
      '/b on verda: no file has content',
    ],
    [
      'nothing at all',
      [{ ...required('/a'), mayBeEmpty: true }],
      [found('/a', 0)],
      '/a on verda: no file has content',
    ],
    [
      'an optional link alone',
      [optional('/a')],
      [found('/a', 0, 'link')],
      '/a on verda: no file has content',
    ],
  ])('%s is none', (_, sources, looks, says) => {
    expect(whyNoBackup(sources, looks, 'verda')).toContain(says)
  })

  test('absent is what is optional and holds nothing, but a link is something', () => {
    expect(isAbsent([optional('/a'), optional('/b')], [found('/a', 0), found('/b', 0, 'missing')])).toBe(true)
    expect(isAbsent([optional('/a')], [found('/a', 0, 'link')])).toBe(false)
    expect(isAbsent([optional('/a')], [found('/a', 1)])).toBe(false)
    expect(isAbsent([required('/a')], [found('/a', 0)])).toBe(false)
  })

  test.each<[string, number[][], number[][], string | undefined]>([
    ['the same', [[4, 40]], [[4, 40]], undefined],
    ['half of it', [[2, 20]], [[4, 40]], undefined],
    [
      'less than half of the files',
      [[1, 40]],
      [[4, 40]],
      '/0 shrank from 4 files to 1 file, to 25 % (limit 50 %)',
    ],
    [
      'less than half of the bytes',
      [[4, 19]],
      [[4, 40]],
      '/0 shrank from 40 bytes to 19 bytes, to 47 % (limit 50 %)',
    ],
    [
      'one small source, though all are as large as before',
      [
        [0, 0],
        [9, 4000],
      ],
      [
        [1, 5],
        [9, 4000],
      ],
      '/0 shrank from 1 file to 0 files, to 0 % (limit 50 %)',
    ],
    ['a source that is gone', [], [[1, 5]], '/0 shrank from 1 file to 0 files, to 0 % (limit 50 %)'],
    [
      'a new source',
      [
        [1, 5],
        [1, 5],
      ],
      [[1, 5]],
      undefined,
    ],
    ['a record that names no sources', [[1, 5]], [], undefined],
  ])('beside its predecessor: %s', (_, now, before, says) => {
    const sizes = (pairs: number[][]) =>
      pairs.map(([files = 0, bytes = 0], index) => ({ source: `/${index}`, files, bytes }))
    expect(whyShrunken(sizes(now), sizes(before))).toBe(says)
  })
})

test('the names of sources, and what an archive of them must hold', () => {
  const keys: Source = { path: '/etc/ssh', match: 'ssh_host_*', required: true, mustHave: ['*_key'] }
  expect(sourceName(keys)).toBe('/etc/ssh/ssh_host_*')
  expect(mustHaveOf([keys, { path: '/a', required: true }])).toEqual(['*_key'])
})

test('an archive without a member that it must have, or without content, is worthless', () => {
  expect(whyWorthless({ lacking: [] })).toBeUndefined()
  expect(whyWorthless({ lacking: [], files: 1 })).toBeUndefined()
  expect(whyWorthless({ lacking: [], files: 0 })).toContain('no file has content')
  expect(whyWorthless({ lacking: ['*/a', '*/b'], files: 1 })).toContain('the archive has no */a and no */b')
})

describe('the state of tailscaled', () => {
  const { capture } = items.find(({ name }) => name === 'tailscale') as (typeof items)[number]
  const [keystone] = capture.kind === 'files' ? keystonesOf(capture.sources) : []
  const why = (text: string) => whyWorthlessText(keystone as NonNullable<typeof keystone>, text)

  test('is read where the inventory says', () => {
    expect(keystone?.file).toBe('/var/lib/tailscale/tailscaled.state')
  })

  test.each([
    ['of a node', { _machinekey: 'a', '_current-profile': 'cHJvZmlsZS0x', _profiles: 'c', 'profile-1': 'd' }],
    ['of a node of before 2022', { _machinekey: 'a', _daemon: 'b' }],
    ['with a profile of another form', { _machinekey: 'a', '_current-profile': 'eA==' }],
  ])('%s is an identity', (_name, state) => {
    expect(why(JSON.stringify(state))).toBeUndefined()
  })

  test.each([
    ['nothing', '', 'empty or cut short'],
    ['zeros, as after a power failure', '\0\0\0', 'empty or cut short'],
    ['the half of a state', '{"_machinekey":"cHJ', 'empty or cut short'],
    ['something else', '["a"]', 'not a state of tailscaled'],
    ['null', 'null', 'not a state of tailscaled'],
    ['a sealed state', '{"key":{},"nonce":"AA","data":"AA"}', 'sealed with the TPM'],
    ['that of a daemon which nobody has logged in', '{}', 'tailscale was logged out'],
    [
      'that of one which was logged out',
      '{"_machinekey":"a","_current-profile":""}',
      'tailscale was logged out',
    ],
    [
      'one whose profile is missing',
      '{"_machinekey":"a","_current-profile":"cHJvZmlsZS0x","_profiles":"c"}',
      'names profile-1 but does not contain it',
    ],
  ])('%s is none', (_name, text, says) => {
    expect(why(text)).toContain(says)
  })
})

describe('images', () => {
  const config = 'blobs/sha256/aa'
  const docker = (tags: string[] | null, layers = ['blobs/sha256/bb']) =>
    JSON.stringify([{ Config: config, RepoTags: tags, Layers: layers }])
  const oci = (annotations?: Record<string, string>) =>
    JSON.stringify({ schemaVersion: 2, manifests: [{ digest: 'sha256:cc', annotations }] })
  const members = new Set([config, 'blobs/sha256/bb', 'blobs/sha256/cc', 'manifest.json', 'index.json'])

  test.each([
    ['a docker archive', { 'manifest.json': docker(['a:1', 'a:2']) }, ['a:1', 'a:2']],
    ['one without a tag', { 'manifest.json': docker(null) }, []],
    ['an OCI layout', { 'index.json': oci({ 'org.opencontainers.image.ref.name': 'a:1' }) }, ['a:1']],
    [
      'what engines since 25 write, both at once',
      {
        'manifest.json': docker(['a:1']),
        'index.json': oci({ 'io.containerd.image.name': 'a:1', 'org.opencontainers.image.ref.name': '1' }),
      },
      ['a:1'],
    ],
    ['an OCI layout without a name', { 'index.json': oci() }, []],
  ])('%s is one', (_, texts, tags) => {
    expect(judgeImage(texts, members)).toEqual({ tags })
  })

  test.each([
    ['no manifest', {}, 'no manifest'],
    ['random bytes for a manifest', { 'manifest.json': '\u0001\u0002' }, 'no manifest'],
    ['an empty manifest', { 'manifest.json': '[]' }, 'no manifest'],
    ['null', { 'manifest.json': 'null', 'index.json': 'null' }, 'no manifest'],
    [
      'a layer that is missing',
      { 'manifest.json': docker(['a:1'], ['blobs/sha256/bb', 'blobs/sha256/dd']) },
      '1 of 3 parts',
    ],
    [
      'an OCI manifest that is missing',
      { 'index.json': oci().replace('sha256:cc', 'sha256:ee') },
      '1 of 1 parts',
    ],
    ['a part that is no name', { 'manifest.json': '[{"Config":7}]' }, '1 of 1 parts'],
  ])('%s is none', (_, texts, says) => {
    expect(judgeImage(texts, members).flaw).toContain(says)
  })

  test('the tags in a record', () => {
    expect(tagsOfImage('sha256:abc a:1 b:2')).toEqual(['a:1', 'b:2'])
    expect(tagsOfImage('sha256:abc ')).toEqual([])
    expect(tagsOfImage(undefined)).toEqual([])
  })
})
