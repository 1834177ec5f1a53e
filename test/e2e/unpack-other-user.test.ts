import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { expectSurroundings } from '../restore/files/surroundings.ts'
import { type Member, tarOf } from '../restore/tar-writer.ts'

const isRoot = process.getuid?.() === 0

let folder: string
let tree: string
/** Links that lead here are what a hostile archive may try to write through. */
let outside: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'unpack-'))
  tree = path.join(folder, 'staging/tree')
  outside = path.join(folder, 'outside')
  for (const each of [tree, outside]) mkdirSync(each, { recursive: true })
  writeFileSync(path.join(outside, 'sentinel'), 'untouched')
  writeFileSync(path.join(folder, 'sentinel'), 'untouched')
})
afterEach(() => {
  vi.unstubAllEnvs()
  expectSurroundings(folder)
  rmSync(folder, { recursive: true })
})

const gz = (...members: Member[]) => gzipSync(tarOf(...members))

test.runIf(isRoot)('as another user than root, who may make no device, the rest comes back', async () => {
  const archive = path.join(folder, 'staging/archive')
  writeFileSync(
    archive,
    gz({ name: 'etc/null', type: 'character device', device: [1, 3] }, { name: 'etc/a', content: 'x' }),
  )
  for (const each of [folder, path.join(folder, 'staging')]) execFileSync('chmod', ['755', each])
  execFileSync('chown', ['65534:65534', tree])
  const program = `
    import { createReadStream } from 'node:fs'
    import { unpack } from ${JSON.stringify(path.resolve(import.meta.dirname, '../../lib/restore/files/unpack.ts'))}
    const { unfit } = await unpack(createReadStream(${JSON.stringify(archive)}), ${JSON.stringify(tree)}, { attributes: '*' })
    console.log(JSON.stringify(unfit))`
  const { status, stdout, stderr } = spawnSync(
    'setpriv',
    [
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      process.execPath,
      '--import',
      'tsx',
      '--input-type=module',
      '-e',
      program,
    ],
    { env: { PATH: process.env.PATH, HOME: '/nonexistent', TMPDIR: tmpdir() }, encoding: 'utf8' },
  )
  expect([status, stdout], stderr).toEqual([0, '[{"path":"etc/null","kind":"device"}]\n'])
  expect(readFileSync(path.join(tree, 'etc/a'), 'utf8')).toBe('x')
  rmSync(archive)
})
