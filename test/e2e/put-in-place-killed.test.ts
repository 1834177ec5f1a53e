import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Source } from '../../lib/inventory.ts'
import { putInPlace } from '../../lib/restore/files/put-in-place.ts'
import { make, stateOf } from '../restore/files/trees.ts'

const project = path.resolve(import.meta.dirname, '../..')

let folder: string
let root: string
let outside: string
const staged = () => path.join(folder, 'staging/tree')
const aside = () => path.join(root, 'var/lib/comfyume-backup/kept-aside/2026-11-24-10-00')
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'place-'))
  root = path.join(folder, 'root')
  outside = path.join(folder, 'outside')
  for (const each of [root, staged(), outside]) mkdirSync(each, { recursive: true })
  writeFileSync(path.join(outside, 'sentinel'), 'untouched')
})
afterEach(() => {
  expect(readdirSync(folder).sort()).toEqual(['outside', 'root', 'staging'])
  expect(readdirSync(outside)).toEqual(['sentinel'])
  expect(readFileSync(path.join(outside, 'sentinel'), 'utf8')).toBe('untouched')
  rmSync(folder, { recursive: true })
})

const ufw: Source[] = [{ path: '/etc/ufw', required: true }]
const whole: Source[] = [{ path: '/etc/ufw', required: true, whole: true }]

const stage = (script: string) => {
  rmSync(path.join(folder, 'staging'), { recursive: true })
  make(staged(), script)
}
const place = (sources: Source[] = ufw, base = '') =>
  putInPlace({ staged: staged(), base, root, sources, aside: aside() })
const at = (file: string) => path.join(root, file)

describe('cut off at any moment and run again', () => {
  const script =
    'mkdir -p etc/ufw; cd etc/ufw; for d in {1..20}; do mkdir d$d; for f in {1..10}; do echo new $d $f >d$d/f$f; done; touch -d 2020-01-01 d$d/*; done; touch -d 2020-02-02 . d*'
  const program = `
    import { putInPlace } from ${JSON.stringify(path.join(project, 'lib/restore/files/put-in-place.ts'))}
    const [staged, root, aside] = process.argv.slice(1)
    process.stdout.write('begun')
    await putInPlace({ staged, base: '', root, sources: [{ path: '/etc/ufw', required: true, whole: true }], aside })
    process.stdout.write('done')`

  test('everything is as in the archive, and all that was there lies aside', async () => {
    stage(script)
    const pristine = path.join(folder, 'staging/pristine')
    execFileSync('cp', ['-a', staged(), pristine])
    const wanted = stateOf(path.join(pristine, 'etc/ufw'))
    let cut = 0
    for (const delay of [0, 10, 25, 50]) {
      rmSync(root, { recursive: true })
      make(
        root,
        'mkdir -p etc/ufw; cd etc/ufw; for d in {1..20..2}; do mkdir d$d; echo old $d >d$d/f1; done; echo old >extra; echo old >d2',
      )
      rmSync(staged(), { recursive: true, force: true })
      execFileSync('cp', ['-a', pristine, staged()])
      const child = spawn(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '-e', program, staged(), root, aside()],
        { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] },
      )
      let said = ''
      child.stdout.on('data', (data) => {
        said += data
      })
      await once(child.stdout, 'data')
      await sleep(delay)
      child.kill('SIGKILL')
      await once(child, 'close')
      if (!said.includes('done')) cut++
      rmSync(staged(), { recursive: true, force: true })
      execFileSync('cp', ['-a', pristine, staged()])
      await place(whole)
      expect(stateOf(at('etc/ufw')), `after ${delay} ms`).toBe(wanted)
      const old = execFileSync('grep', [
        '-rh',
        '^old',
        path.join(root, 'var/lib/comfyume-backup/kept-aside'),
      ]).toString()
      expect(old.trim().split('\n').sort()).toEqual(
        [...Array.from({ length: 10 }, (_, n) => `old ${2 * n + 1}`), 'old', 'old'].sort(),
      )
    }
    expect(cut, 'runs that were really cut off').toBeGreaterThan(0)
    rmSync(pristine, { recursive: true })
  }, 180_000)
})
