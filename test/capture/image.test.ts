import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { imageCapture } from '../../lib/capture/image.ts'
import { localHost } from '../../lib/hosts/local.ts'

/** The real engines are in test/real; here a script stands in for one, so that it can also fail. */
let folder: string
let host: ReturnType<typeof localHost>
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'image-'))
  host = localHost({ name: 'verda', root: folder })
})
afterEach(() => rmSync(folder, { recursive: true }))

/** An engine that knows one image and one container; `save` is what it does to save. */
function engine(save: string): string {
  const file = path.join(folder, 'engine')
  const script = `#!/bin/bash
cd "${folder}"
case "$1 $2" in
  "container inspect") [[ $5 == comfyume-worker ]] && echo registry.example/team/comfyume-worker:v2 || exit 1 ;;
  "image inspect")
    [[ $5 == *comfyume-worker:v2 ]] || { echo "Error: No such image: $5" >&2; exit 1; }
    printf 'sha256:abc\\nregistry.example/team/comfyume-worker:v2\\n1234\\n' ;;
  save*) ${save} ;;
esac
`
  writeFileSync(file, script, { mode: 0o755 })
  return file
}

/** A folder as \`docker save\` would pack it, with so many layers. */
function content(layers: number, manifest?: string) {
  const names = Array.from({ length: layers }, (_, n) => `blobs/sha256/${String(n).padStart(64, '0')}`)
  mkdirSync(path.join(folder, 'image/blobs/sha256'), { recursive: true })
  for (const name of names) writeFileSync(path.join(folder, 'image', name), name.repeat(20))
  writeFileSync(path.join(folder, 'image/config.json'), '{}')
  const value = [
    { Config: 'config.json', RepoTags: ['registry.example/team/comfyume-worker:v2'], Layers: names },
  ]
  writeFileSync(path.join(folder, 'image/manifest.json'), manifest ?? JSON.stringify(value))
  return names
}

const packAll = 'tar -cf - -C image .  --transform "s,^\\./,,"'
const whole = 'tar -cf - -C image blobs config.json manifest.json'
const save = async (script: string) => {
  const capture = imageCapture(host, 'comfyume-worker', undefined, engine(script))
  await capture.survey()
  return buffer(capture.open(false).body)
}

describe('which image', () => {
  const survey = (name: string, reference?: string) =>
    imageCapture(host, name, reference, engine(whole)).survey()

  test('the one that the container of that name uses, by its id and tags', async () => {
    expect(await survey('comfyume-worker')).toEqual({
      state: 'there',
      fingerprint: 'sha256:abc registry.example/team/comfyume-worker:v2',
      bytes: 1234,
      warnings: [],
    })
  })

  test('one that is not there fails, saying what to do', async () => {
    await expect(survey('comfyume-admin')).rejects.toThrow(
      'there is no image comfyume-admin:latest on verda: build or load it, or name the right one in CONTAINER_IMAGES',
    )
  })

  test('a host without an engine fails', async () => {
    const capture = imageCapture(host, 'comfyume-worker', undefined, path.join(folder, 'none'))
    await expect(capture.survey()).rejects.toThrow(
      /verda has neither docker nor podman \(CONTAINER_ENGINE is/,
    )
  })
})

test.each([1, 5, 300])('an image of %d layers comes as the engine saved it', async (layers) => {
  const names = content(layers)
  const archive = await save(whole)
  const members = execFileSync('tar', ['-tz'], { input: archive }).toString().trim().split('\n')
  expect(members.filter((name) => !name.endsWith('/')).sort()).toEqual(
    [...names, 'config.json', 'manifest.json'].sort(),
  )
})

describe('laws 5 and 6: what is no whole image is no backup', () => {
  test.each<[string, string, RegExp]>([
    ['an engine that fails half-way', `${whole} | head -c 50000; exit 1`, /could not be saved on verda/],
    ['an engine that fails at the very end', `${whole}; exit 1`, /could not be saved on verda/],
    [
      'an engine that is killed',
      `${whole} | head -c 50000; kill -KILL $$`,
      /a process was killed there \(signal 9\)/,
    ],
    [
      'an archive cut short in its last layer',
      'tar -cf - -C image manifest.json config.json blobs | head -c 20000',
      /is not a complete archive: tar: /,
    ],
    ['nothing at all', 'true', /comfyume-worker/],
    [
      'a layer that is missing',
      'rm image/blobs/sha256/*7; tar -cf - -C image blobs config.json manifest.json',
      /the saved image is incomplete: 1 of 11 parts are missing/,
    ],
    [
      'a configuration that is missing',
      'tar -cf - -C image blobs manifest.json',
      /1 of 11 parts are missing/,
    ],
    [
      'no manifest',
      'tar -cf - -C image blobs config.json',
      /incomplete: it has no manifest|could not be saved/,
    ],
    [
      'no archive',
      'head -c 100000 /dev/urandom',
      /comfyume-worker (on verda: the saved image is not a complete archive|could not be saved)/,
    ],
  ])('%s', async (_, script, says) => {
    content(10)
    await expect(save(script)).rejects.toThrow(says)
  })
})

test('a manifest over many lines is understood', async () => {
  const names = content(3)
  content(3, JSON.stringify([{ Config: 'config.json', RepoTags: null, Layers: names }], null, 2))
  expect((await save(packAll)).length).toBeGreaterThan(100)
})
