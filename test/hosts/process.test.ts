import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { bash, run, start, TimedOut } from '../../lib/hosts/process.ts'
import { expectNoneLeft, newMark } from './processes.ts'

describe('run', () => {
  test('gives what was printed and the exit code; a failure is an answer', async () => {
    expect(await run(bash('echo out; echo error >&2; exit 3'))).toEqual({
      exitCode: 3,
      stdout: 'out',
      stderr: 'error',
    })
    expect((await run(bash('kill -KILL $$'))).exitCode).toBe(128)
  })

  test.each<[string, string | Buffer | Readable]>([
    ['text', 'given'],
    ['a stream', Readable.from([Buffer.from('giv'), Buffer.from('en')])],
    ['bytes', Buffer.from('given')],
  ])('%s is its input, and without any there is nothing to read', async (_, input) => {
    expect((await run(['cat'], { input })).stdout).toBe('given')
    expect((await run(['cat'])).stdout).toBe('')
  })

  test('a program that is not there is an error with the code of the system', async () => {
    await expect(run(['no-such-program-here'])).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(start(['no-such-program-here'])).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('a program that takes too long is killed', async () => {
    const mark = newMark()
    await expect(run(['bash', '-c', 'sleep 1000; true', mark], { seconds: 0.3 })).rejects.toThrow(TimedOut)
    await expectNoneLeft(mark)
  })
})

describe('start', () => {
  test('output waits for its reader, and the end is known after it was read', async () => {
    const child = await start(bash('head -c 300000 /dev/zero; echo late >&2; exit 4'))
    await new Promise((resolve) => setTimeout(resolve, 200))
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
    expect([stdout.length, stderr]).toEqual([300_000, 'late\n'])
    expect(await child.ended).toEqual({ code: 4, signal: undefined })
  })
})

test('nothing but lib/hosts starts a process', () => {
  const starts = /from 'node:child_process'|from 'execa'|import\('execa'\)|import \{[^}]*\} from 'zx'/
  const files = readdirSync('lib', { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )
  const found = files.filter((name) => starts.test(readFileSync(path.join('lib', name), 'utf8')))
  expect(found.sort()).toEqual(['hosts/process.ts', 'hosts/shell.ts'])
})

test('a child that is killed never takes that for the end of its input', async () => {
  for (let n = 0; n < 40; n++) {
    const child = await start(bash('cat >/dev/null; exit 7'))
    child.kill()
    expect(await child.ended).toEqual({ code: undefined, signal: 'SIGKILL' })
  }
})

test('what had to succeed and did not says its last line, and no more', async () => {
  const failing = run(bash('echo first >&2; echo second >&2; exit 3'), { reject: true })
  await expect(failing).rejects.toThrow(/^bash failed: second$/)
  await expect(run(bash('exit 3'), { reject: true })).rejects.toThrow(/^bash failed: exit 3$/)
})
