import { execFileSync, spawnSync } from 'node:child_process'
import {
  chownSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { filesCapture } from '../../lib/capture/files.ts'
import { listModels, readModel } from '../../lib/capture/models.ts'
import { pushToRepository, readSecrets } from '../../lib/capture/repository.ts'
import { localHost } from '../../lib/hosts/local.ts'
import { noSwapper, stranger, whileSwapped } from '../servers/swapper.ts'

const secret = 'only-root-may-read-this'
const tries = Number(process.env.SWAPPER_TRIES ?? 25)
const hasSqlite = spawnSync('sqlite3', ['--version']).status === 0

let folder: string
let root: string
let temporary: string | undefined
const data = 'home/dev/project/data'
const at = (name: string) => path.join(root, name)
const sources = [{ path: `/${data}/user_data`, required: true }]

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'swapped-'))
  execFileSync('chmod', ['755', folder])
  root = path.join(folder, 'verda')
  mkdirSync(at(`${data}/user_data/alice`), { recursive: true })
  writeFileSync(at(`${data}/user_data/alice/plain`), 'plain')
  mkdirSync(path.join(folder, 'vault'), { mode: 0o700 })
  writeFileSync(vault('secret'), secret, { mode: 0o600 })
  temporary = process.env.TMPDIR
  process.env.TMPDIR = path.join(folder, 'tmp')
  mkdirSync(process.env.TMPDIR, { mode: 0o1777 })
})
afterEach(() => {
  process.env.TMPDIR = temporary
  if (temporary === undefined) delete process.env.TMPDIR
  rmSync(folder, { recursive: true, force: true })
})

const vault = (name: string) => path.join(folder, 'vault', name)

/** Everything below a folder of ours becomes the stranger's, with the folder itself. */
function give(name: string): void {
  for (const entry of readdirSync(at(name), { recursive: true, encoding: 'utf8' }))
    lchownSync(path.join(at(name), entry), stranger, stranger)
  chownSync(at(name), stranger, stranger)
}

function database(file: string, value: string): void {
  execFileSync('sqlite3', [file, `CREATE TABLE t(x); INSERT INTO t VALUES ('${value}')`])
}

/** Captures again and again while two names are swapped: nothing of root's may be changed, or be in an archive. */
async function captureWhileSwapped(one: string, two: string): Promise<void> {
  const before = readFileSync(vault('secret'))
  await whileSwapped(at(one), at(two), async () => {
    for (let n = 0; n < tries; n++) {
      const host = localHost({ name: 'verda', root })
      await filesCapture(host, sources)
        .survey()
        .catch(() => {})
      const archive = await buffer(filesCapture(host, sources).open(true).body).catch(() => undefined)
      if (archive !== undefined)
        expect(execFileSync('gunzip', { input: archive, maxBuffer: 1 << 28 }).includes(secret)).toBe(false)
      expect(readFileSync(vault('secret'))).toEqual(before)
    }
  })
}

describe.skipIf(noSwapper !== undefined)(
  `another user swaps names (${noSwapper ?? 'as root'})`,
  { timeout: 600_000 },
  () => {
    test.runIf(hasSqlite)('a database and a link to a file of root: nothing is written to it', async () => {
      database(at(`${data}/user_data/alice/x.db`), 'attack')
      symlinkSync(vault('secret'), at(`${data}/user_data/alice/y`))
      give(`${data}/user_data`)
      await captureWhileSwapped(`${data}/user_data/alice/x.db`, `${data}/user_data/alice/y`)
    })

    test.runIf(hasSqlite)('a database and a link to one of root: none of that is taken', async () => {
      database(at(`${data}/user_data/alice/x.db`), 'own')
      database(vault('x.db'), secret)
      symlinkSync(vault('x.db'), at(`${data}/user_data/alice/y`))
      give(`${data}/user_data`)
      await captureWhileSwapped(`${data}/user_data/alice/x.db`, `${data}/user_data/alice/y`)
    })

    test.runIf(hasSqlite)('the folder above a database and a link to a folder of root', async () => {
      database(at(`${data}/user_data/alice/x.db`), 'own')
      database(vault('x.db'), secret)
      symlinkSync(path.join(folder, 'vault'), at(`${data}/user_data/bob`))
      give(`${data}/user_data`)
      await captureWhileSwapped(`${data}/user_data/alice`, `${data}/user_data/bob`)
    })

    test('a folder above the source and a link to a folder of root', async () => {
      mkdirSync(vault('user_data'))
      writeFileSync(vault('user_data/secret'), secret)
      symlinkSync(path.join(folder, 'vault'), at('home/dev/project/other'))
      chownSync(at('home/dev/project'), stranger, stranger)
      await captureWhileSwapped(data, 'home/dev/project/other')
    })

    test('a link above the source, in a folder of the other user, is never followed; one of root is', async () => {
      execFileSync('mv', [at(data), at('home/dev/elsewhere')])
      symlinkSync('../elsewhere', at(data))
      const host = localHost({ name: 'verda', root })
      expect(await filesCapture(host, sources).survey()).toMatchObject({ state: 'there' })
      chownSync(at('home/dev/project'), stranger, stranger)
      await expect(filesCapture(host, sources).survey()).rejects.toThrow(
        /a link that another user could change/,
      )
    })

    test('credentials and a link to a file of root: none of that is pushed', async () => {
      writeFileSync(at('home/dev/project/.env'), 'own')
      symlinkSync(vault('secret'), at('home/dev/project/other'))
      give('home/dev/project')
      const repository = path.join(folder, 'credentials.git')
      execFileSync('git', ['init', '-q', '--bare', repository])
      let pushed = 0
      await whileSwapped(at('home/dev/project/.env'), at('home/dev/project/other'), async () => {
        for (let n = 0; n < Math.ceil(tries / 3); n++) {
          const run = {
            host: localHost({ name: 'mello', root }),
            sources: [{ path: '/home/dev/project/.env', required: true }],
            base: '/home/dev/project',
            repository,
            folder: '',
            message: `try ${n}`,
            acceptShrink: true,
            async atEnd() {},
          }
          const pushing = readSecrets(run).then((files) => pushToRepository(run, files))
          await pushing.then(
            () => pushed++,
            () => {},
          )
        }
      })
      if (pushed === 0) return
      const log = execFileSync('git', ['-C', repository, 'log', '--all', '-p']).toString()
      expect(log).toContain('own')
      expect(log).not.toContain(secret)
    })

    const models = { path: '/models', folders: ['loras', 'checkpoints'], extension: '.safetensors' }
    async function readModels(): Promise<Map<string, string>> {
      const host = localHost({ name: 'verda', root })
      const read = new Map<string, string>()
      const listing = await listModels(host, models).catch(() => ({ models: [] }))
      const asked = new Set(['loras/x.safetensors', ...listing.models.map((model) => model.path)])
      for (const name of asked) {
        const content = await buffer(readModel(host, models, { path: name })).catch(() => undefined)
        if (content !== undefined) read.set(name, content.toString())
      }
      return read
    }

    test('a model and a link to a file of root; the folder above it and a link to a folder of root', async () => {
      mkdirSync(at('models/loras'), { recursive: true })
      mkdirSync(at('models/checkpoints'))
      writeFileSync(at('models/loras/x.safetensors'), 'model')
      writeFileSync(vault('x.safetensors'), secret)
      symlinkSync(vault('secret'), at('models/loras/y'))
      symlinkSync('../loras/x.safetensors', at('models/checkpoints/linked.safetensors'))
      symlinkSync('../../vault', at('models/other'))
      give('models')
      for (const [one, two] of [
        ['models/loras/x.safetensors', 'models/loras/y'],
        ['models/loras', 'models/other'],
      ] as const)
        await whileSwapped(at(one), at(two), async () => {
          for (let n = 0; n < tries; n++) {
            const read = await readModels()
            for (const content of read.values()) expect(content).toBe('model')
          }
        })
    })
  },
)

test('a link to a model counts where it leads to one in the folder of the models, and nowhere else', async () => {
  for (const name of ['loras', 'checkpoints/deep']) mkdirSync(at(`models/${name}`), { recursive: true })
  writeFileSync(at('models/checkpoints/deep/real [1].safetensors'), 'model')
  symlinkSync('../checkpoints/deep/real [1].safetensors', at('models/loras/relative.safetensors'))
  symlinkSync(at('models/loras/relative.safetensors'), at('models/loras/absolute.safetensors'))
  symlinkSync('../checkpoints/deep', at('models/loras/folder'))
  symlinkSync('..', at('models/loras/circle'))
  symlinkSync(vault('secret'), at('models/loras/outside.safetensors'))
  symlinkSync('../../../vault/secret', at('models/loras/climbing.safetensors'))
  symlinkSync('../../../vault', at('models/loras/outer'))
  symlinkSync('nowhere', at('models/loras/gone.safetensors'))
  const host = localHost({ name: 'verda', root })
  const models = { path: '/models', folders: ['loras', 'checkpoints'], extension: '.safetensors' }
  const listing = await listModels(host, models)
  expect(listing.models.map((model) => model.path)).toEqual([
    'checkpoints/deep/real [1].safetensors',
    'loras/absolute.safetensors',
    'loras/folder/real [1].safetensors',
    'loras/relative.safetensors',
  ])
  expect(listing.broken.sort()).toEqual(
    ['circle', 'climbing.safetensors', 'gone.safetensors', 'outer', 'outside.safetensors'].map(
      (name) => `loras/${name}`,
    ),
  )
  for (const model of listing.models)
    expect((await buffer(readModel(host, models, model))).toString()).toBe('model')
  await expect(buffer(readModel(host, models, { path: 'loras/outside.safetensors' }))).rejects.toThrow(
    /leads out of the folder of the models/,
  )
})
