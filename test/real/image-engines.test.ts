import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tagsOfImage } from '../../lib/acceptance.ts'
import { CaptureError } from '../../lib/capture/capture.ts'
import { imageCapture, imageListing, listImage } from '../../lib/capture/image.ts'
import { localHost } from '../../lib/hosts/local.ts'
import { dockerd } from './docker.ts'
import { type Engine, importImage, podman } from './podman.ts'

/** Captures from a real Docker daemon and a real podman, and whether images come back with their names. */

let folder: string
let docker: Awaited<ReturnType<typeof dockerd>>
const engines: Partial<Record<string, Engine>> = {}

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'engines-'))
  docker = await dockerd(path.join(folder, 'docker'))
  engines.docker = docker
  engines.podman = podman(path.join(folder, 'podman'))
})
afterAll(async () => {
  await docker?.close()
  rmSync(folder, { recursive: true, force: true })
})

const host = () => localHost({ name: 'verda', root: folder })

describe.each(['docker', 'podman'])('%s', (kind) => {
  const engine = () => engines[kind] as Engine
  const made = (name: string) => {
    const reference = `localhost/${name}:v1`
    importImage(engine(), folder, reference)
    return { reference, id: engine().run('image', 'inspect', '--format', '{{.Id}}', reference).trim() }
  }
  async function capture(name: string, reference: string) {
    const image = imageCapture(host(), name, reference, engine().command)
    const survey = await image.survey()
    if (survey.state !== 'there') throw new Error(survey.reason)
    return { survey, archive: await buffer(image.open(false).body) }
  }
  const load = (archive: Buffer) =>
    execFileSync('sh', ['-c', 'gzip -dc | "$0" load', engine().command], { input: archive, stdio: 'pipe' })
  const idOf = (reference: string) =>
    engine().run('image', 'inspect', '--format', '{{.Id}}', reference).trim().replace('sha256:', '')

  test('an image with several tags: all are in the record, and the archive loads under the one asked for', async () => {
    const { reference, id } = made('several')
    engine().run('tag', reference, 'localhost/other/several:v2')
    const { survey, archive } = await capture('several', reference)
    expect(tagsOfImage(survey.fingerprint).sort()).toEqual(['localhost/other/several:v2', reference].sort())
    expect(survey.warnings).toEqual([])
    engine().run('rmi', '--force', reference, 'localhost/other/several:v2')
    load(archive)
    expect(idOf(reference)).toBe(id.replace('sha256:', ''))
  })

  test('an image named by its digest comes back under its tag, and says so', async () => {
    const { reference, id } = made('digest')
    const { survey, archive } = await capture('digest', id)
    expect(survey.warnings).toEqual([{ kind: 'named by digest', path: id, tags: [reference] }])
    engine().run('rmi', '--force', reference)
    load(archive)
    expect(idOf(reference)).toBe(id.replace('sha256:', ''))
  })

  test('an image without a tag is refused, with the command that gives it one', async () => {
    const { reference, id } = made('comfyume-untagged')
    engine().run('create', '--name', 'untagged', reference, '/app')
    const other = made('another')
    engine().run('tag', other.reference, reference)
    if (kind === 'podman') expect(engine().images().join()).toContain('<none>:<none>')
    const why = await capture('comfyume-untagged', id).catch((error) => error)
    expect(why).toBeInstanceOf(CaptureError)
    const [, command] =
      /Give it one there: (\S+ tag \S+ [^\s,]+), and set CONTAINER_IMAGES to/.exec(why.message) ?? []
    execFileSync('sh', ['-c', command as string])
    const { archive } = await capture('comfyume-untagged', 'comfyume-untagged:latest')
    engine().run('rm', 'untagged')
    engine().run('rmi', '--force', 'comfyume-untagged:latest')
    load(archive)
    expect(idOf('comfyume-untagged:latest')).toBe(id.replace('sha256:', ''))
  })
})

test('a reference with a digest of its repository is saved by a tag of that repository', async () => {
  const engine = engines.podman as Engine
  importImage(engine, folder, 'registry.example/team/nginx:v1')
  engine.run('tag', 'registry.example/team/nginx:v1', 'localhost/a-first-tag:v1')
  const digest = engine
    .run('image', 'inspect', '--format', '{{.Digest}}', 'registry.example/team/nginx:v1')
    .trim()
  const image = imageCapture(
    host(),
    'comfyume-nginx',
    `registry.example/team/nginx@${digest}`,
    engine.command,
  )
  expect(await image.survey()).toMatchObject({ warnings: [{ kind: 'named by digest' }] })
  const archive = await buffer(image.open(false).body)
  engine.run('rmi', '--force', 'registry.example/team/nginx:v1', 'localhost/a-first-tag:v1')
  execFileSync('sh', ['-c', 'gzip -dc | "$0" load', engine.command], { input: archive, stdio: 'pipe' })
  expect(engine.images().join()).toContain('registry.example/team/nginx:v1')
})

test('the OCI layout that newer engines write is an image, and one cut short is none', async () => {
  const engine = engines.podman as Engine
  importImage(engine, folder, 'localhost/layout:v1')
  const judged = async (pipe: string) => {
    const listing = imageListing((line) => line)
    const outcome = await host().run(`${listImage}\n${pipe} | list_image >/dev/null`, [engine.command], {
      onLine: listing.onLine,
    })
    return listing.judge(outcome)
  }
  const saved = '"$1" save --format oci-archive localhost/layout:v1'
  expect(await judged(saved)).toEqual({ tags: [expect.stringContaining('layout:v1')] })
  expect((await judged(`${saved} | head -c 5000000`)).flaw).toContain('not a complete archive')
  expect((await judged('head -c 100000 /dev/urandom')).flaw).toBeDefined()
})
