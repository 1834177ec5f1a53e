import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { filesCapture } from '../../lib/capture/files.ts'
import { sshHost } from '../../lib/hosts/ssh.ts'
import { freePort, type Sshd, startSshd } from '../servers/sshd.ts'

/** A far end that offers every way back in ssh, a second host key, and a prepared environment. */
let sshd: Sshd
let folder: string
let agent: { socket: string; stop(): void }

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'way-back-'))
  execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', path.join(folder, 'second')])
  writeFileSync(path.join(folder, 'start-up'), `touch ${folder}/planted\n`)
  const offers = [
    'AllowAgentForwarding yes',
    'AllowTcpForwarding yes',
    'X11Forwarding yes',
    'PermitTunnel yes',
  ]
  const filled = `SetEnv TAR_OPTIONS=--exclude=*/b BASH_ENV=${folder}/start-up GZIP=-1`
  sshd = await startSshd(['root'], [...offers, filled, `HostKey ${folder}/second`, ''].join('\n'))
  agent = await startAgent(path.join(folder, 'agent'))
})
afterAll(async () => {
  agent?.stop()
  await sshd?.stop()
  rmSync(folder, { recursive: true })
})

async function startAgent(socket: string) {
  const child = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
  while (!existsSync(socket)) await wait(20)
  execFileSync('ssh-add', ['-q', path.join(sshd.folder, 'id')], {
    env: { ...process.env, SSH_AUTH_SOCK: socket },
  })
  return { socket, stop: () => void child.kill() }
}

/** Settings that people put into ~/.ssh/config for comfort. */
const comfortable = (port: number) => `
Host *
  IdentityAgent ${agent.socket}
  ForwardAgent yes
  ForwardX11 yes
  ForwardX11Trusted yes
  RemoteForward ${port} 127.0.0.1:22
  Tunnel yes
  PermitLocalCommand yes
  LocalCommand touch ${folder}/local-command
  UpdateHostKeys yes
`

/** Prints the ways back to the client. The name of an agent's socket alone is no way back. */
const waysBack = (port: number) => `
case "$SSH_AUTH_SOCK" in /tmp/ssh-*) echo 'agent forwarded' ;; *) echo 'no agent' ;; esac
echo "display $DISPLAY"
(exec 3<>/dev/tcp/127.0.0.1/${port}) 2>/dev/null && echo 'port open' || echo 'port closed'
ip -o link show 2>/dev/null | grep -o ' tun[0-9]*:' || true
`

const quiet = { stdio: ['ignore' as const, 'pipe' as const, 'ignore' as const] }
const nothing = 'no agent\ndisplay \nport closed\n'

test('from Verda there is no way back to Mello, whatever ~/.ssh/config says', async () => {
  process.env.DISPLAY = ':9'
  process.env.SSH_AUTH_SOCK = agent.socket
  const [ours, plain] = [await freePort(), await freePort()]
  const known = readFileSync(path.join(sshd.folder, 'known_hosts'), 'utf8')
  const host = sshHost({
    name: 'verda',
    root: '/',
    destination: 'root',
    configFile: sshd.config(comfortable(ours)),
  })
  onTestFinished(async () => {
    delete process.env.DISPLAY
    await host.close()
  })
  expect((await host.run(waysBack(ours), [])).stdout.toString()).toBe(nothing)
  expect(existsSync(path.join(folder, 'local-command'))).toBe(false)
  expect(readFileSync(path.join(sshd.folder, 'known_hosts'), 'utf8')).toBe(known)

  // The same configuration without our options, so that the test above can fail.
  const config = sshd.config(comfortable(plain).replace('Tunnel yes', 'Tunnel no'))
  const said = execFileSync(
    'ssh',
    ['-F', config, '-o', 'BatchMode=yes', 'root', waysBack(plain)],
    quiet,
  ).toString()
  expect(said).toContain('agent forwarded')
  expect(said).toContain('port open')
  expect(existsSync(path.join(folder, 'local-command'))).toBe(true)
})

test('a key that Verda restricts to commands from one address is enough, and opens no other way', async () => {
  const file = path.join(sshd.folder, 'id.pub')
  const key = readFileSync(file, 'utf8')
  writeFileSync(file, `restrict,from="127.0.0.1" ${key}`)
  const host = sshHost({ name: 'verda', root: '/', destination: 'root', configFile: sshd.config() })
  onTestFinished(async () => {
    writeFileSync(file, key)
    await host.close()
  })
  const port = await freePort()
  expect((await host.run(waysBack(port), [])).stdout.toString()).toBe(nothing)
  const config = sshd.config(comfortable(port).replace('Tunnel yes', 'Tunnel no'))
  expect(execFileSync('ssh', ['-F', config, '-q', 'root', waysBack(port)], quiet).toString()).toBe(nothing)
})

test.each([
  ['StrictHostKeyChecking no', 'UserKnownHostsFile /dev/null'],
  ['NoHostAuthenticationForLocalhost yes', 'UserKnownHostsFile /dev/null'],
  ['VerifyHostKeyDNS yes', 'StrictHostKeyChecking accept-new', 'UserKnownHostsFile /dev/null'],
])('a host key that is not known is refused, also with %s', async (...lines) => {
  const configFile = sshd.config(`Host *\n  ${lines.join('\n  ')}\n`)
  const host = sshHost({ name: 'verda', root: '/', destination: 'root', configFile })
  onTestFinished(() => host.close())
  await expect(host.run('true', [])).rejects.toThrow(
    /its host key is not known here, and none is accepted unseen/,
  )
})

test('what Verda has in its environment leaves nothing out of an archive, and runs nothing', async () => {
  const source = path.join(folder, 'source')
  execFileSync('bash', ['-c', 'mkdir -p "$1" && echo a >"$1/a" && echo b >"$1/b"', 'x', source])
  const host = sshHost({ name: 'verda', root: '/', destination: 'root', configFile: sshd.config() })
  onTestFinished(() => host.close())
  const chunks: Buffer[] = []
  for await (const chunk of filesCapture(host, [{ path: source, required: true }]).open(false).body)
    chunks.push(chunk)
  const members = execFileSync('tar', ['-tzf', '-'], { input: Buffer.concat(chunks) }).toString()
  expect(
    members
      .trim()
      .split('\n')
      .map((name) => path.basename(name)),
  ).toEqual(['source', 'a', 'b'])
  // Only the login shell sources Verda's files; what it starts for us does not.
  rmSync(path.join(folder, 'planted'), { force: true })
  await host.run('true', [])
  expect(existsSync(path.join(folder, 'planted'))).toBe(false)
})
