import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { type Host, HostError, type Outcome } from '../../lib/hosts/host.ts'
import { expectNoneLeft, expectRunning, newMark } from './processes.ts'

/** What every kind of host must do. `host` is asked for in each test; it works on this machine's files, and `close` is the caller's. */
export function hostContract(kind: string, host: () => Host) {
  const folder = mkdtempSync(join(tmpdir(), 'host-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const accept = () => {}
  const refuse = (outcome: Outcome) => {
    if (outcome.exitCodes.some((code) => code !== 0)) throw new Error(`refused: ${outcome.exitCodes}`)
  }

  describe(`${kind}: exit codes`, () => {
    test.each<[string, number[]]>([
      ['true', [0]],
      ['true | false | (exit 3)', [0, 1, 3]],
      ['false | true', [1, 0]],
      ['false | true\ntrue', [0]],
      ['yes | head -n 1 >/dev/null', [141, 0]],
      ['exit 7', [7]],
      ['exit 255', [255]],
      ['(exit 255)', [255]],
      ['true | false; exit 4', [4]],
      ['set -e; false; true', [1]],
      ['set -eu; echo "$nothing_of_that_name"', [1]],
      ['no-such-command-here', [127]],
      ['if then', [2]],
      ['echo ok # a comment at the end', [0]],
      ['cat <<end\ntext\nend', [0]],
      ['', [0]],
      ["bash -c 'kill -KILL $$' | cat", [137, 0]],
      ['sleep 0.1 & wait', [0]],
      ["IFS=0; shopt -s nullglob; printf '' | (exit 10)", [0, 10]],
    ])('%j ends with %j', async (script, codes) => {
      expect((await host().run(script, [])).exitCodes).toEqual(codes)
    })

    test.each([
      ['killed', 'kill -KILL $$'],
      ['that goes on writing after its end', '(sleep 0.3; echo late) &'],
      ['that gives its end to another program', 'exec true'],
    ])('a script %s is a lost one, not one that ended', async (_, script) => {
      await expect(host().run(`echo before; ${script}`, [])).rejects.toThrow(HostError)
    })

    test.each(['TERM', 'HUP', 'INT'])(
      'a script that SIG%s ends never looks as if it had succeeded',
      async (signal) => {
        const outcome = await host().run(`true; kill -${signal} $$; true`, [])
        expect(outcome.exitCodes[0]).toBeGreaterThan(128)
      },
    )
  })

  describe(`${kind}: input`, () => {
    const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

    test.each([1, 65_536, 3_000_000])('of %d bytes reaches the script as it is', async (size) => {
      const input = randomBytes(size)
      const { stdout } = await host().run('sha256sum <&"$comfyume_input"; wc -c </dev/stdin', [], { input })
      expect(stdout.toString()).toMatch(new RegExp(`^${digestOf(input)}`))
    })

    test('that the script does not read to its end keeps nobody', async () => {
      const input = randomBytes(3_000_000)
      const { stdout, exitCodes } = await host().run('head -c 4 <&"$comfyume_input"; exit 3', [], { input })
      expect([stdout, exitCodes]).toEqual([input.subarray(0, 4), [3]])
    })

    test('does not keep a script alive whose reader goes', async () => {
      const mark = newMark()
      const script = `cat <&"$comfyume_input" >/dev/null; bash -c 'sleep 1000; true' "$1" | cat`
      const stream = host().stream(script, [mark], accept, { input: randomBytes(100_000) })
      stream.resume()
      await expectRunning(mark)
      stream.destroy()
      await expectNoneLeft(mark)
    })
  })

  describe(`${kind}: arguments and surroundings`, () => {
    const echoed = async (args: string[]) => {
      const { stdout } = await host().run(`[ $# = 0 ] || printf '%s\\0' "$@"`, args)
      return stdout.toString().split('\0').slice(0, -1)
    }

    test.each<[string, string[]]>([
      ['none', []],
      ['empty', ['', '', 'x', '']],
      ['spaces, newlines, tabs', [' a  b ', 'a\nb\n', '\t', '\r\n']],
      ['quotes', [`'`, `"`, `'"'"'`, '`id`', `\\'`]],
      ['what shells expand', ['$HOME', '$(id)', '*', '~', '{a,b}', '!!', '!$', '=ls', '^a', '[a]', '%1']],
      ['what ends a command', ['; exit 9', '&& false', '| cat', '# no', '> /dev/null', '(']],
      ['leading dashes', ['-n', '--', '-e', '--help', '-o ProxyCommand=false']],
      ['backslashes', ['\\', '\\\\', 'a\\', '\\n', '\\0']],
      ['letters of the world', ['é', 'e\u0301', '日本語', '🦊', '\u200b', '\u0001\u007f']],
    ])('%s', async (_, args) => {
      expect(await echoed(args)).toEqual(args)
    })

    test('any text without NUL reaches the script as it is', async () => {
      const text = fc.string({ unit: 'binary', maxLength: 40 }).map((all) => all.replaceAll('\0', ''))
      const shell = fc.string({
        unit: fc.constantFrom(...`'"\`$\\!*?~#&|;<>(){}[]^=%- \n\ta`),
        maxLength: 20,
      })
      await fc.assert(
        fc.asyncProperty(fc.array(fc.oneof(text, shell), { maxLength: 60 }), async (args) => {
          expect(await echoed(args)).toEqual(args)
        }),
        { numRuns: 25 },
      )
    })

    test('the script has LC_ALL=C, the usual folders in PATH, and nothing to read', async () => {
      const { stdout } = await host().run('echo "$LC_ALL:$PATH:"; cat', [])
      expect(stdout.toString()).toMatch(/^C:/)
      for (const folder of ['/usr/local/bin', '/usr/sbin', '/sbin'])
        expect(stdout.toString()).toContain(`:${folder}:`)
      expect(stdout.toString().split('\n')).toHaveLength(2)
    })

    test('no secret of the environment reaches the script', async () => {
      process.env.R2_SECRET_ACCESS_KEY = 'not-to-be-seen'
      process.env.LC_TEST = 'not-to-be-seen'
      try {
        const { stdout } = await host().run('env', [])
        expect(stdout.toString()).not.toContain('not-to-be-seen')
      } finally {
        delete process.env.R2_SECRET_ACCESS_KEY
        delete process.env.LC_TEST
      }
    })

    test('an answer that does not end is cut off, with all that sends it', async () => {
      const mark = newMark()
      const call = host().run(`bash -c 'yes; true' "$1"`, [mark])
      await expect(call).rejects.toThrow(/answered with more than 128 MiB where a short answer is expected/)
      await expect(call).rejects.toThrow(HostError)
      await expectNoneLeft(mark)
    })

    test('many scripts at once each get their own answer', async () => {
      const numbers = Array.from({ length: 14 }, (_, n) => String(n))
      const answers = await Promise.all(numbers.map((n) => host().run('sleep 0.2; printf %s "$1"', [n])))
      expect(answers.map(({ stdout }) => stdout.toString())).toEqual(numbers)
    })
  })

  describe(`${kind}: a command as one would type it`, () => {
    test('has its values quoted, and a list as several words', async () => {
      const file = `a 'b' "c" $(id) \\n`
      const { stdout } = await host().$`printf '%s|' ${file} ${['-n', 'x y']} "$#"`
      expect(stdout).toBe(`${file}|-n|x y|0|`)
    })

    test.each<[string, () => ReturnType<Host['$']>, number]>([
      ['that succeeds', () => host().$`true`, 0],
      ['that fails', () => host().$`false`, 1],
      ['that fails early in a pipeline', () => host().$`(exit 3) | cat`, 3],
      ['that is not there', () => host().$`no-such-command-here`, 127],
    ])('one %s gives its exit code', async (_, command, exitCode) => {
      expect((await command()).exitCode).toBe(exitCode)
    })
  })

  describe(`${kind}: standard error`, () => {
    test('is kept, without the lines that were taken', async () => {
      const taken: string[] = []
      const onLine = (line: string) => line.startsWith('progress ') && taken.push(line) > 0
      const { stderr, stdout } = await host().run(
        'for n in 1 2; do echo "progress $n" >&2; echo "warning $n" >&2; done; echo out',
        [],
        { onLine },
      )
      expect(taken).toEqual(['progress 1', 'progress 2'])
      expect(stderr).toBe('warning 1\nwarning 2\n')
      expect(stdout.toString()).toBe('out\n')
    })

    test('a megabyte without a newline, and bytes that are not UTF-8, do no harm', async () => {
      const { stderr, exitCodes } = await host().run(
        `head -c 1000000 /dev/zero | tr '\\0' x >&2; printf '\\n\\377\\n' >&2; (exit 5)`,
        [],
      )
      expect(exitCodes).toEqual([5])
      expect(stderr.length).toBeLessThanOrEqual(64 * 1024)
      expect(stderr).toMatch(/x\n\ufffd\n$/)
    })

    test('what onLine throws ends the call', async () => {
      const mark = newMark()
      const onLine = () => {
        throw new Error('not understood')
      }
      const call = host().run(`echo line >&2; bash -c 'sleep 1000; true' ${mark}`, [], { onLine })
      await expect(call).rejects.toThrow('not understood')
      await expectNoneLeft(mark)
    })
  })

  describe(`${kind}: streams`, () => {
    test.each([0, 1, 1023, 1024, 1025, 65_536, 5_000_000])('%d bytes come as they are', async (size) => {
      const bytes = Buffer.concat([Buffer.from('@comfyume-end '), randomBytes(size)]).subarray(0, size)
      const path = join(folder, `bytes-${size}`)
      writeFileSync(path, bytes)
      const heard: Outcome[] = []
      const read = await collect(host().stream('cat -- "$1"', [path], (outcome) => heard.push(outcome)))
      expect(read.equals(bytes)).toBe(true)
      expect(heard).toEqual([{ exitCodes: [0], stderr: '' }])
    })

    test('100 MB come as they are, in bounded memory', async () => {
      const path = join(folder, 'large')
      const block = randomBytes(1 << 20)
      writeFileSync(path, Buffer.concat(Array.from({ length: 100 }, () => block)))
      const [want, got] = [createHash('sha256'), createHash('sha256')]
      for (let n = 0; n < 100; n++) want.update(block)
      const before = process.memoryUsage().rss
      let most = before
      for await (const chunk of host().stream('cat -- "$1"', [path], accept)) {
        got.update(chunk)
        most = Math.max(most, process.memoryUsage().rss)
      }
      expect(got.digest('hex')).toBe(want.digest('hex'))
      expect((most - before) / 1e6).toBeLessThan(80)
    })

    test('the judge hears every exit code, and the stream ends when it returns', async () => {
      const order: string[] = []
      const stream = host().stream(
        'echo warning >&2; echo out | (cat; exit 2) | cat',
        [],
        ({ exitCodes, stderr }) => {
          order.push(`judged ${exitCodes} ${stderr.trim()}`)
        },
      )
      stream.on('end', () => order.push('ended')).resume()
      await once(stream, 'close')
      expect(order).toEqual(['judged 0,2,0 warning', 'ended'])
    })

    test.each([
      ['is refused', 'echo out; exit 2', 'refused: 2'],
      ['has a process in it that was killed', "bash -c 'echo out; kill -KILL $$' | cat", 'refused: 137,0'],
      ['is killed half-way', 'echo out; kill -KILL $$', 'host'],
    ])('a stream whose script %s errors and never ends', async (_, script, message) => {
      const { ended, error } = await follow(host().stream(script, [], refuse))
      expect(ended).toBe(false)
      expect(error?.message).toMatch(message === 'host' ? host().name : message)
    })

    test('a slow reader holds the script back, and nothing is judged before all was read', async () => {
      let judged = false
      const count = join(folder, 'written')
      const script = 'for n in $(seq 200); do head -c 100000 /dev/zero; echo "$n" >"$1"; done'
      const stream = host().stream(script, [count], () => {
        judged = true
      })
      const chunks = stream[Symbol.asyncIterator]()
      await chunks.next()
      await wait(700)
      expect(judged).toBe(false)
      const { stdout } = await host().run('cat "$1"', [count])
      expect(Number(stdout)).toBeLessThan(120)
      let bytes = 0
      for (let next = await chunks.next(); !next.done; next = await chunks.next()) bytes += next.value.length
      expect(bytes).toBeGreaterThan(18_000_000)
      expect(judged).toBe(true)
    })

    test('destroying a stream ends everything that its script started', async () => {
      const mark = newMark()
      const stream = host().stream(
        `tar -c --label="$1" /usr/lib | gzip -9 --suffix="$1"; true`,
        [mark],
        accept,
      )
      stream.on('error', () => {})
      await once(stream, 'readable')
      await expectRunning(mark)
      stream.destroy()
      await once(stream, 'close')
      await expectNoneLeft(mark)
    })

    test('destroying a stream also ends what writes nothing', async () => {
      const mark = newMark()
      const stream = host().stream(`bash -c 'sleep 1000; true' "$1" | cat`, [mark], accept)
      stream.resume()
      await expectRunning(mark)
      stream.destroy()
      await expectNoneLeft(mark)
    })

    test('destroying a stream at once starts nothing that stays', async () => {
      const mark = newMark()
      host().stream(`bash -c 'sleep 1000; true' "$1" | cat`, [mark], accept).destroy()
      await wait(500)
      await expectNoneLeft(mark)
    })
  })

  describe(`${kind}: time limits`, () => {
    test('a script that takes too long is ended, with all that it started', async () => {
      const mark = newMark()
      const call = host().run(`trap '' TERM HUP INT; bash -c 'sleep 1000; true' "$1" | cat`, [mark], {
        timeout: 1,
      })
      await expect(call).rejects.toThrow(`${host().name} did not answer within 1 s`)
      await expect(call).rejects.toThrow(HostError)
      await expectNoneLeft(mark)
    })

    test('a script within its limit is not touched', async () => {
      expect((await host().run('sleep 0.1; echo done', [], { timeout: 20 })).stdout.toString()).toBe('done\n')
    })
  })
}

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Reads a stream to whatever its end is. */
export async function follow(stream: Readable): Promise<{ ended: boolean; bytes: number; error?: Error }> {
  const seen: { ended: boolean; bytes: number; error?: Error } = { ended: false, bytes: 0 }
  stream.on('data', (chunk) => {
    seen.bytes += chunk.length
  })
  stream.on('end', () => {
    seen.ended = true
  })
  stream.on('error', (error) => {
    seen.error = error
  })
  await new Promise((closed) => stream.on('close', closed))
  return seen
}
