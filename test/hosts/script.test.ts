import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bash, run } from '../../lib/hosts/process.ts'
import { wrapScript } from '../../lib/hosts/script.ts'

let folder: string
const at = (name: string) => path.join(folder, name)
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'script-'))
  mkdirSync(at('etc'))
  for (const name of ['a', 'b']) writeFileSync(at(`etc/${name}`), `content of ${name}\n`)
  writeFileSync(at('start-up'), `echo planted; touch ${at('planted')}\n`)
})
afterEach(() => rmSync(folder, { recursive: true }))

const packing = 'cd -- "$1" && tar -cf - --sort=name --mtime=@0 etc | gzip -nc'

/** Runs a wrapped script on a far end whose environment somebody has filled; returns what lies between its marks, and its end. */
async function runIn(env: Record<string, string>): Promise<{ bytes: Buffer; end: string; stderr: string }> {
  const { argv, begin, end } = wrapScript(packing, [folder])
  const [program = '', ...args] = argv
  // The lifeline kills its whole process group when it closes, which here is no earlier than the end.
  const child = spawn(program, args, { env: { PATH: process.env.PATH, ...env }, detached: true })
  const [stdout, stderr] = await Promise.all([buffer(child.stdout), text(child.stderr), once(child, 'close')])
  expect(stdout.indexOf(begin)).toBe(0)
  const last = stdout.lastIndexOf(end)
  return {
    bytes: stdout.subarray(begin.length, last),
    end: stdout.toString('latin1', last + end.length),
    stderr,
  }
}

test.each<[string, () => Record<string, string>]>([
  ['TAR_OPTIONS', () => ({ TAR_OPTIONS: '--exclude=etc/b --mode=0777' })],
  ['GZIP, PIGZ and GREP_OPTIONS', () => ({ GZIP: '-1', PIGZ: '-1', GREP_OPTIONS: '-v' })],
  ['POSIXLY_CORRECT', () => ({ POSIXLY_CORRECT: '1' })],
  ['BASH_ENV and ENV', () => ({ BASH_ENV: at('start-up'), ENV: at('start-up') })],
  ['SHELLOPTS and BASHOPTS', () => ({ SHELLOPTS: 'noexec:xtrace', BASHOPTS: 'extdebug' })],
  ['a function by the name of a tool', () => ({ 'BASH_FUNC_tar%%': `() { touch ${at('planted')}; }` })],
  ['IFS, CDPATH and GLOBIGNORE', () => ({ IFS: '/', CDPATH: at('etc'), GLOBIGNORE: '*' })],
])('%s in the environment of a host changes no byte of an archive', async (_, env) => {
  const plain = await runIn({})
  const filled = await runIn(env())
  expect({ end: filled.end, stderr: filled.stderr }).toEqual({ end: ' 0 0\n', stderr: '' })
  expect(filled.bytes.equals(plain.bytes)).toBe(true)
  expect(execFileSync('tar', ['-tzf', '-'], { input: filled.bytes }).toString()).toContain('etc/b')
  expect(existsSync(at('planted'))).toBe(false)
})

test('a few lines of bash on this machine get nothing of its environment but what they need', async () => {
  const names = [
    'TAR_OPTIONS',
    'BASH_ENV',
    'ENV',
    'NODE_OPTIONS',
    'LD_PRELOAD',
    'GIT_DIR',
    'R2_SECRET_ACCESS_KEY',
  ]
  for (const name of names) process.env[name] = at('start-up')
  try {
    const { stdout: said } = await run(bash('env'))
    expect(said).toContain('PATH=')
    for (const name of names) expect(said).not.toContain(`${name}=`)
    expect(existsSync(at('planted'))).toBe(false)
  } finally {
    for (const name of names) delete process.env[name]
  }
})
