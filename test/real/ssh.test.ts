import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Host, HostError } from '../../lib/hosts/host.ts'
import { sshHost } from '../../lib/hosts/ssh.ts'
import { follow, hostContract } from '../hosts/contract.ts'
import { expectNoneLeft, killNodeWhileRunning, newMark, processesOf } from '../hosts/processes.ts'
import { addUser, freePort, type Sshd, startSshd } from '../servers/sshd.ts'

let sshd: Sshd
let dev: ReturnType<typeof addUser>
let guest: ReturnType<typeof addUser>
let asRoot: Host
let asDev: Host

beforeAll(async () => {
  dev = addUser({ sudo: true })
  guest = addUser({ sudo: false })
  sshd = await startSshd(['root', dev.name, guest.name])
  asRoot = hostOf('root')
  asDev = hostOf(dev.name)
})

afterAll(async () => {
  await Promise.allSettled([asRoot?.close(), asDev?.close()])
  await sshd?.stop()
  dev?.remove()
  guest?.remove()
})

function hostOf(destination: string, configFile = sshd.config()): Host {
  return sshHost({ name: 'verda', root: '/', destination, configFile })
}

/** A host with its own connection for one test. `more` is configuration before the usual one. */
function freshHost(destination: string, more?: string): Host {
  const host = hostOf(destination, sshd.config(more))
  onTestFinished(() => host.close())
  return host
}

/** The ssh that holds the host's shared connection with that configuration. */
const holder = (configFile: string) => new RegExp(`^ssh -F ${configFile} .* -M `)

const connectionsMade = () => sshd.log().split('Accepted publickey').length - 1

hostContract('ssh as root', () => asRoot)
hostContract('ssh as a sudo user with zsh', () => asDev)

describe('who runs there', () => {
  test.each([
    ['root', () => asRoot],
    ['the sudo user', () => asDev],
  ])('%s logs in, root runs the script', async (_, host) => {
    expect((await host().run('id -un', [])).stdout.toString()).toBe('root\n')
  })

  test('a user without sudo rights is told the line for sudoers, with the own name in it', async () => {
    const call = freshHost(guest.name).run('true', [])
    await expect(call).rejects.toThrow(HostError)
    await expect(call).rejects.toThrow('visudo -f /etc/sudoers.d/comfyume-backup')
    await expect(call).rejects.toThrow(`${guest.name} ALL=(root) NOPASSWD: /usr/bin/bash`)
  })

  test('sudo on this machine: root runs the script for who may, and nothing stays when it is cut off', async () => {
    const mark = newMark()
    const code = `
      const { localHost } = await import('${new URL('../../lib/hosts/local.ts', import.meta.url).href}')
      const host = localHost({ name: 'mello', root: '/', sudo: true })
      const { stdout } = await host.run('id -un', [])
      const late = await host.run("bash -c 'sleep 1000; true' ${mark} | cat", [], { timeout: 1 }).catch(String)
      process.stdout.write(JSON.stringify([stdout.toString(), late]))`
    const args = [
      '-u',
      dev.name,
      'env',
      `TMPDIR=${dev.home}`,
      process.execPath,
      '--import',
      'tsx',
      '--input-type=module',
      '-e',
      code,
    ]
    const [who, late] = JSON.parse(execFileSync('sudo', args, { encoding: 'utf8' }))
    expect(who).toBe('root\n')
    expect(late).toMatch('did not answer within 1 s')
    await expectNoneLeft(mark)
  })
})

describe('one shared connection', () => {
  test('serves forty calls', async () => {
    const host = freshHost('root')
    const before = connectionsMade()
    for (let n = 0; n < 4; n++)
      await Promise.all(Array.from({ length: 10 }, () => host.run('sleep 0.05', [])))
    // sshd allows ten sessions per connection, one of them ours; the rest open their own connections.
    expect(connectionsMade() - before).toBeLessThanOrEqual(1 + 4)
    const one = connectionsMade()
    for (let n = 0; n < 10; n++) await host.run('true', [])
    expect(connectionsMade()).toBe(one)
  })

  test.each<[string, (configFile: string) => void]>([
    ['the far end is lost', () => sshd.cut()],
    ['the ssh that holds it is killed', (config) => killOldest(holder(config))],
  ])('is made anew, once, after %s', async (_, cut) => {
    const configFile = sshd.config()
    const host = hostOf('root', configFile)
    onTestFinished(() => host.close())
    await host.run('true', [])
    cut(configFile)
    await expect.poll(() => processesOf(configFile)).toEqual([])
    await wait(1000) // Until its end is noticed here: an earlier call opens its own connection.
    const before = connectionsMade()
    for (let n = 0; n < 5; n++) expect((await host.run('echo back', [])).stdout.toString()).toBe('back\n')
    expect(connectionsMade()).toBe(before + 1)
  })

  test('leaves neither a process nor a folder after close', async () => {
    // Other processes make and clear away folders of their own here.
    const folders = () =>
      readdirSync('/tmp').filter((name) => name.startsWith(`comfyume-ssh-${process.pid}@`))
    const before = folders()
    const host = hostOf('root')
    await host.run('true', [])
    const [folder = 'none'] = folders().filter((name) => !before.includes(name))
    expect(processesOf(folder)).not.toEqual([])
    await host.close()
    expect(processesOf(folder)).toEqual([])
    expect(folders()).toEqual(before)
  })

  test('goes, with what runs there, when this process is killed without warning', async () => {
    const mark = newMark()
    const configFile = sshd.config()
    await killNodeWhileRunning(
      mark,
      `const { sshHost } = await import('${new URL('../../lib/hosts/ssh.ts', import.meta.url).href}')
       const host = sshHost({ name: 'verda', root: '/', destination: '${dev.name}', configFile: '${configFile}' })
       await host.run("bash -c 'sleep 1000; true' ${mark} | cat", [])`,
    )
    await expectNoneLeft(mark)
    await expectNoneLeft(configFile)
  })

  test("ignores what the user's configuration would add to it", async () => {
    const forward = await freePort()
    const host = freshHost(
      'root',
      `Host *\n  LocalForward ${forward} 127.0.0.1:1\n  RequestTTY force\n  RemoteCommand id\n  ControlMaster no\n  StrictHostKeyChecking no\n  ForwardAgent yes`,
    )
    expect((await host.run('test -t 0 || echo "no terminal$SSH_AUTH_SOCK"', [])).stdout.toString()).toBe(
      'no terminal\n',
    )
    expect((await host.run('echo again', [])).stdout.toString()).toBe('again\n')
    const listener = createServer().listen(forward, '127.0.0.1')
    await once(listener, 'listening')
    listener.close()
  })
})

describe('a login shell that prints', () => {
  afterAll(() => {
    for (const file of ['.zshenv', '.zshrc']) writeFileSync(join(dev.home, file), '')
  })

  test.each([
    ['a banner on standard output', 'echo "Welcome to verda"'],
    ['a banner without a newline', 'printf "Welcome "'],
    ['a banner on standard error', 'echo "Welcome to verda" >&2'],
    ['much', 'repeat 20000 echo "Welcome to verda"'],
    ['when it ends', 'zshexit() { echo bye }; TRAPEXIT() { echo bye }'],
  ])('%s does not change a byte of a stream', async (_, line) => {
    for (const file of ['.zshenv', '.zshrc']) writeFileSync(join(dev.home, file), `${line}\n`)
    const { stdout, exitCodes } = await freshHost(dev.name).run(`printf 'a\\0b\\377' | cat`, [])
    expect(stdout.equals(Buffer.from([97, 0, 98, 255]))).toBe(true)
    expect(exitCodes).toEqual([0, 0])
  })
})

test('what bash prints for a remote login does not change a byte of a stream', async () => {
  const startup = join(sshd.home, '.bashrc')
  writeFileSync(startup, 'echo Welcome to verda\n')
  onTestFinished(() => rmSync(startup))
  expect((await freshHost('root').run('echo out', [])).stdout.toString()).toBe('out\n')
})

describe('a stream that breaks half-way never ends', () => {
  const steady = 'while sleep 0.02; do head -c 50000 /dev/zero; done; : "$1"'

  test.each<[string, (configFile: string, mark: string) => void]>([
    ['the connection is cut', () => sshd.cut()],
    ['the ssh that holds the connection is killed', (config) => killOldest(holder(config))],
    [
      'the ssh of the call is killed',
      (config) => killOldest(new RegExp(`^ssh -F ${config} .* ControlMaster=no `)),
    ],
    ['the bash there is killed', (_, mark) => killOldest(new RegExp(`^bash .*-o pipefail -c .*${mark}`))],
  ])('%s', async (_, cut) => {
    const configFile = sshd.config()
    const host = hostOf(dev.name, configFile)
    onTestFinished(() => host.close())
    const mark = newMark()
    const stream = host.stream(steady, [mark], () => {})
    const seen = follow(stream)
    await once(stream, 'data')
    cut(configFile, mark)
    const { ended, error } = await seen
    expect(ended).toBe(false)
    expect(error).toBeInstanceOf(HostError)
    expect(error?.message).toMatch(/^verda: the connection was lost midway/)
    await expectNoneLeft(mark)
  })

  test('tar is killed there: the judge hears 137, and what it throws is the error', async () => {
    const mark = newMark()
    const stream = asDev.stream('tar -c --label="$1" -f - /usr | gzip -1', [mark], ({ exitCodes }) => {
      if (exitCodes.some((code) => code !== 0)) throw new Error(`refused: ${exitCodes}`)
    })
    const seen = follow(stream)
    await once(stream, 'data')
    killOldest(new RegExp(`^tar -c --label=${mark}`))
    const { ended, error } = await seen
    expect(ended).toBe(false)
    expect(error?.message).toBe('refused: 137,0')
  })
})

describe('what an operator is told', () => {
  const hostBlock = (lines: string) => `Host broken\n  ${lines}\n  HostName 127.0.0.1\n  User root\n`
  const usual = () =>
    `Port ${sshd.port}\n  IdentityFile ${sshd.folder}/id\n  IdentitiesOnly yes\n  IdentityAgent none`
  const file = (name: string, text: string) => {
    const path = join(sshd.folder, name)
    writeFileSync(path, text)
    return path
  }

  test.each<[string, () => string | Promise<string>, RegExp[]]>([
    [
      'nothing listens on the port',
      async () => `Port ${await freePort()}`,
      [/no ssh server is listening/, /systemctl status ssh/, /Connection refused/],
    ],
    [
      'the name is unknown',
      () => 'HostName no-such-machine.invalid',
      [/no machine of that name is known/, /VERDA_SSH/],
    ],
    [
      'the host key is unknown',
      () => `${usual()}\n  UserKnownHostsFile /dev/null\n  GlobalKnownHostsFile none`,
      [
        /not known here, and none is accepted unseen/,
        /ssh-keyscan -t ed25519 -p \d+ 127\.0\.0\.1 >> ~\/\.ssh\/known_hosts/,
      ],
    ],
    [
      'the host key has changed',
      () =>
        `${usual()}\n  GlobalKnownHostsFile none\n  UserKnownHostsFile ${file('changed', `[127.0.0.1]:${sshd.port} ${readFileSync(join(sshd.folder, 'stranger.pub'), 'utf8')}`)}`,
      [
        /host key is not the one known here/,
        /ssh-keygen -lf \/etc\/ssh\/ssh_host_ed25519_key\.pub/,
        /ssh-keyscan -t ed25519 -p \d+ 127\.0\.0\.1 \|/,
      ],
    ],
    [
      'the key is not accepted',
      () =>
        `Port ${sshd.port}\n  IdentityFile ${sshd.folder}/stranger\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile ${sshd.folder}/known_hosts`,
      [/accepts none of our keys/, /authorized_keys/, /Permission denied/],
    ],
  ])('%s', async (_, lines, wanted) => {
    const host = freshHost('broken', hostBlock(await lines()))
    const error = await host.run('true', []).catch((caught) => caught)
    expect(error).toBeInstanceOf(HostError)
    for (const text of [/^verda: /, ...wanted]) expect(error.message).toMatch(text)
    const streamed = await follow(host.stream('true', [], () => {}))
    expect(streamed).toMatchObject({ ended: false, error: { message: error.message } })
  })

  test('a machine that takes the connection and says nothing is given up, at the limit asked for or after 15 s', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    onTestFinished(() => void silent.close())
    const { port } = silent.address() as { port: number }
    const host = freshHost('broken', hostBlock(`Port ${port}`))
    await expect(host.run('true', [], { timeout: 1 })).rejects.toThrow('verda did not answer within 1 s')
    const started = Date.now()
    await expect(host.run('true', [])).rejects.toThrow(/^verda: it cannot be reached/)
    expect(Date.now() - started).toBeLessThan(20_000)
  })

  test('there is no bash', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'path-'))
    onTestFinished(() => {
      rmSync(folder, { recursive: true })
      writeFileSync(join(dev.home, '.zshenv'), '')
    })
    for (const tool of ['sh', 'id', 'cat']) symlinkSync(`/bin/${tool}`, join(folder, tool))
    chmodSync(folder, 0o755)
    writeFileSync(join(dev.home, '.zshenv'), `export PATH=${folder}\n`)
    await expect(freshHost(dev.name).run('true', [])).rejects.toThrow('verda has no bash: install it there')
  })

  test('the account has no login shell', async () => {
    execFileSync('usermod', ['-s', '/usr/sbin/nologin', guest.name])
    onTestFinished(() => void execFileSync('usermod', ['-s', '/usr/bin/zsh', guest.name]))
    const error = await freshHost(guest.name).run('true', []).catch(String)
    expect(error).toMatch(/the login shell there ran no command \(exit 1\)/)
    expect(error).toMatch(/This account is currently not available/)
  })

  test.each(['', '-oProxyCommand=id', '--', 'verda true', 'verda\nHost *'])(
    '%j is refused as a destination',
    (destination) => {
      expect(() => hostOf(destination)).toThrow(/is no destination for ssh/)
    },
  )
})

test('200 MB over the connection: the same bytes in bounded memory; the rate is noted beside a plain ssh', async () => {
  const path = join(sshd.folder, 'large')
  const block = randomBytes(1 << 20)
  const want = createHash('sha256')
  rmSync(path, { force: true })
  for (let n = 0; n < 200; n++) {
    appendFileSync(path, block)
    want.update(block)
  }
  const host = freshHost('root')
  await host.run('true', [])

  const plainStart = Date.now()
  execFileSync('sh', ['-c', 'ssh -F "$1" root "cat $2" >/dev/null', 'sh', sshd.config(), path])
  const plain = Date.now() - plainStart

  const got = createHash('sha256')
  const before = process.memoryUsage().rss
  let most = before
  const start = Date.now()
  for await (const chunk of host.stream('cat -- "$1"', [path], () => {})) {
    got.update(chunk)
    most = Math.max(most, process.memoryUsage().rss)
  }
  const ours = Date.now() - start
  const rate = (ms: number) => `${Math.round((200 * 1.048576 * 1000) / ms)} MB/s`
  console.info(
    `200 MB: ${rate(ours)}, hashed; plain ssh cat ${rate(plain)}; memory +${Math.round((most - before) / 1e6)} MB`,
  )
  expect(got.digest('hex')).toBe(want.digest('hex'))
  expect((most - before) / 1e6).toBeLessThan(80)
})

/** Kills the oldest process with a matching command line (newlines as spaces): bash, not its subshells. */
function killOldest(pattern: RegExp) {
  const pids = readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      return pattern.test(readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll(/[\0\n]/g, ' '))
    } catch {
      return false
    }
  })
  if (pids.length === 0) throw new Error(`no process fits ${pattern}`)
  process.kill(Math.min(...pids.map(Number)), 'SIGKILL')
}
