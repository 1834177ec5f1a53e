import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { lengthsScript, listModels, readModel } from '../../lib/capture/models.ts'
import type { Host } from '../../lib/hosts/host.ts'
import { localHost } from '../../lib/hosts/local.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'models-'))
  mkdirSync(path.join(root, 'models/loras'), { recursive: true })
})
afterEach(() => rmSync(root, { recursive: true }))

const source = { path: '/models', folders: ['loras'], extension: '.safetensors' }
const model = { path: 'loras/a.safetensors' }
const file = () => path.join(root, 'models', model.path)
const host = () => localHost({ name: 'verda', root })
const list = async () => (await listModels(host(), source)).models[0]

describe('a model that', () => {
  /** Much more than is ever under way between the reader and us. */
  const content = Buffer.alloc(12 * 2 ** 20, 'ab')

  test.each<[string, () => void]>([
    ['is removed', () => rmSync(file())],
    [
      'is replaced',
      () => {
        writeFileSync(`${file()}.new`, content)
        renameSync(`${file()}.new`, file())
      },
    ],
    ['grows', () => appendFileSync(file(), 'x')],
    [
      'is written to, and gets its time back',
      () => {
        const { atime, mtime } = statSync(file())
        writeFileSync(file(), 'other', { flag: 'r+' })
        utimesSync(file(), atime, mtime)
      },
    ],
  ])('%s while it is read is no model', async (_, change) => {
    writeFileSync(file(), content)
    const body = readModel(host(), source, model)
    const [first] = (await body.iterator({ destroyOnReturn: false }).next()).value as Buffer
    expect(first).toBe(content[0])
    change()
    await expect(buffer(body)).rejects.toThrow(/a.safetensors changed while it was read on verda/)
  })

  test('nobody changed is the one that was listed; it is not told of one that was written to just now', async () => {
    const read = async () => {
      const told: string[] = []
      await buffer(readModel(host(), source, model, (identity) => told.push(identity)))
      return told
    }
    writeFileSync(file(), 'a model')
    utimesSync(file(), 1, 1)
    expect(await read()).toEqual([])
    await wait(3100)
    const listed = await list()
    expect(listed).toMatchObject({ ...model, bytes: 7, modified: new Date(1000) })
    expect(await read()).toEqual([listed?.identity])
    utimesSync(file(), 1, 1)
    expect((await list())?.identity).not.toBe(listed?.identity)
  })
})

test('models whose headers cannot be read are not taken for whole', async () => {
  writeFileSync(file(), 'a model')
  const here = host()
  const going: Host = {
    ...here,
    run(script, ...how) {
      if (script === lengthsScript) renameSync(path.join(root, 'models'), path.join(root, 'gone'))
      return here.run(script, ...how)
    },
  }
  await expect(listModels(going, source)).rejects.toThrow(
    /headers of the models in .* cannot be read on verda/,
  )
})
