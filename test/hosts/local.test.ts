import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { HostError } from '../../lib/hosts/host.ts'
import { localHost } from '../../lib/hosts/local.ts'
import { hostContract } from './contract.ts'
import { expectNoneLeft, killNodeWhileRunning, newMark } from './processes.ts'

const host = localHost({ name: 'mello', root: '/' })

hostContract('this machine', () => host)

test.each([
  ['/', '/'],
  ['/drill', '/drill'],
  ['/drill/', '/drill'],
  ['/a b//', '/a b'],
])('the root %j is %j', (root, want) => {
  expect(localHost({ name: 'mello', root }).root).toBe(want)
})

test('arguments that no system takes are an error, not a crash', async () => {
  await expect(host.run('true', ['x'.repeat(4_000_000)])).rejects.toThrow(
    /^mello: bash could not be started .*E2BIG/,
  )
})

test("bash does not read the user's start-up file, though its standard input looks like a remote login", async () => {
  const home = process.env.HOME
  process.env.HOME = mkdtempSync(join(tmpdir(), 'home-'))
  try {
    writeFileSync(join(process.env.HOME, '.bashrc'), 'echo read >&2\n')
    expect((await host.run('true', [])).stderr).toBe('')
  } finally {
    rmSync(process.env.HOME, { recursive: true })
    process.env.HOME = home
  }
})

describe('a script that gives nothing', () => {
  const patient = localHost({ name: 'mello', root: '/', silentSeconds: 0.2 })
  const count = () => {
    let asked = 0
    return { asked: () => asked, whySilent: async () => (++asked > 2 ? new Error('it hangs') : undefined) }
  }
  const read = async (body: AsyncIterable<Buffer>) => {
    for await (const _ of body);
  }

  test('is ended with the reason that is found for it', async () => {
    const { asked, whySilent } = count()
    await expect(read(patient.stream('sleep 100', [], () => {}, { whySilent }))).rejects.toThrow(/^it hangs$/)
    expect(asked()).toBe(3)
  })

  test('is ended after a time even without a reason', async () => {
    const whySilent = () => Promise.reject(new Error('nothing can be asked'))
    await expect(read(patient.stream('sleep 100', [], () => {}, { whySilent }))).rejects.toThrow(
      /^mello gave nothing for 2\.4\d* s/,
    )
    await expect(patient.run('sleep 100', [])).rejects.toThrow(HostError)
  })

  test.each(['echo', 'echo >&2'])('is not one that says something (%s)', async (say) => {
    const { asked, whySilent } = count()
    const script = `for ((i = 0; i < 30; i++)); do ${say} .; sleep 0.05; done`
    await read(patient.stream(script, [], () => {}, { whySilent }))
    expect(asked()).toBe(0)
  })

  test('is not one that waits for a slow reader', async () => {
    const { asked, whySilent } = count()
    const body = patient.stream('head -c 8M /dev/zero', [], () => {}, { whySilent })
    await wait(1500)
    await read(body)
    expect(asked()).toBe(0)
  })
})

test('nothing stays when this process is killed without warning', async () => {
  const mark = newMark()
  const module = new URL('../../lib/hosts/local.ts', import.meta.url).href
  await killNodeWhileRunning(
    mark,
    `const { localHost } = await import('${module}')
     await localHost({ name: 'mello', root: '/' }).run("bash -c 'sleep 1000; true' " + '${mark}' + ' | cat', [])`,
  )
  await expectNoneLeft(mark)
})

/** The real sudo, with users who may and may not, is in test/real; here a stand-in plays its refusals. */
describe('sudo', () => {
  const path = process.env.PATH
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sudo-'))
    process.env.PATH = folder
  })
  afterEach(() => {
    process.env.PATH = path
    rmSync(folder, { recursive: true })
  })

  test.each([
    ['a password is needed', 'echo "sudo: a password is required" >&2; exit 1', 'a password is required'],
    [
      'the user is not in the sudoers file',
      'echo "x is not in the sudoers file." >&2; exit 1',
      'not in the sudoers file',
    ],
    ['sudo is not there', undefined, 'ENOENT'],
  ])('%s: the error gives the line for sudoers', async (_, script, said) => {
    if (script) writeFileSync(join(folder, 'sudo'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    const call = localHost({ name: 'mello', root: '/', sudo: true }).run('true', [])
    await expect(call).rejects.toThrow(HostError)
    await expect(call).rejects.toThrow(said)
    await expect(call).rejects.toThrow(
      /visudo -f \/etc\/sudoers\.d\/comfyume-backup[\s\S]*\w+ ALL=\(root\) NOPASSWD: \/usr\/bin\/bash/,
    )
  })
})

/** Where this process makes its scratch folders until the test ends. */
function scratchIn(folder: string): void {
  const usual = process.env.TMPDIR
  process.env.TMPDIR = folder
  onTestFinished(() => {
    if (usual === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = usual
  })
}

test('a stream needs no room for scratch, which a full disk would not have', async () => {
  scratchIn('/no/such/folder')
  let bytes = 0
  const judged: number[][] = []
  const script = 'head -c 20000000 /dev/zero'
  for await (const chunk of host.stream(script, [], ({ exitCodes }) => judged.push(exitCodes))) {
    expect(chunk.every((byte: number) => byte === 0)).toBe(true)
    bytes += chunk.length
    if (bytes < 5e6) await wait(20)
  }
  expect(bytes).toBe(20e6)
  expect(judged).toEqual([[0]])
})

test.each([4_200_000, 4_250_000, 4_300_000, 4_350_000])(
  'of %d bytes, what is still unread when the script has ended is read too',
  async (bytes) => {
    const stream = host.stream(`head -c ${bytes} /dev/zero`, [], () => {})
    await wait(500)
    let read = 0
    for await (const chunk of stream) read += chunk.length
    expect(read).toBe(bytes)
  },
)
