import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Sshd {
  port: number
  /** The folder with keys, known_hosts and configurations; removed by `stop`. */
  folder: string
  /** An empty home for root's logins, so root's own start-up files do not matter. */
  home: string
  /** Writes an ssh_config with a host for each given user, named like the user, plus `more`. */
  config(more?: string): string
  /** sshd's log so far. */
  log(): string
  /** Ends every connection as a lost network would, by killing the sshd that serves it. */
  cut(): void
  stop(): Promise<void>
}

/**
 * A real OpenSSH server on a loopback port. The given users of this machine log in with a key made here;
 * `more` is added to its configuration. Needs root.
 */
export async function startSshd(users: string[], more = ''): Promise<Sshd> {
  const folder = mkdtempSync(join(tmpdir(), 'sshd-'))
  chmodSync(folder, 0o755)
  const file = (name: string) => join(folder, name)
  for (const key of ['host_key', 'id', 'stranger']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(key)])
  }
  mkdirSync(file('home'))
  const port = await freePort()
  writeFileSync(file('known_hosts'), `[127.0.0.1]:${port} ${readFileSync(file('host_key.pub'), 'utf8')}`)
  writeFileSync(file('sshd_config'), more + serverConfig(port, folder))
  // sshd needs this empty folder. Other sshds of the machine may use it too, so it stays.
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })

  const server = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', file('sshd_config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  await new Promise<void>((resolve, reject) => {
    server.stderr.on('data', (chunk) => {
      log += chunk
      if (log.includes('Server listening')) resolve()
    })
    server.once('error', reject)
    server.once('exit', () => reject(new Error(`sshd did not start: ${log}`)))
  })

  return {
    port,
    folder,
    home: file('home'),
    config(more = '') {
      const path = file(`ssh_config-${randomBytes(4).toString('hex')}`)
      writeFileSync(path, `${more}\n${users.map((user) => clientConfig(user, port, folder)).join('\n')}`)
      return path
    },
    log: () => log,
    cut: () => killServing(server.pid),
    async stop() {
      killServing(server.pid)
      server.kill()
      if (server.exitCode === null) await once(server, 'exit')
      rmSync(folder, { recursive: true })
    },
  }
}

/** A throw-away user with zsh as login shell and, on request, the sudoers line from our own message. */
export function addUser({ sudo }: { sudo: boolean }): { name: string; home: string; remove(): void } {
  const name = `cfy${randomBytes(4).toString('hex')}`
  const home = join(tmpdir(), name)
  const sudoers = `/etc/sudoers.d/${name}`
  // A locked password (`!`) also locks out keys; with `*` only password logins fail.
  execFileSync('useradd', ['-m', '-d', home, '-s', '/usr/bin/zsh', '-p', '*', name])
  // Without a .zshrc, zsh would ask a new user how to set it up.
  writeFileSync(join(home, '.zshrc'), '')
  if (sudo) writeFileSync(sudoers, `${name} ALL=(root) NOPASSWD: /usr/bin/bash\n`, { mode: 0o440 })
  return {
    name,
    home,
    remove() {
      rmSync(sudoers, { force: true })
      // -f: a zombie process would keep the user.
      execFileSync('userdel', ['-f', '-r', name], { stdio: 'ignore' })
    },
  }
}

const serverConfig = (port: number, folder: string) => `
ListenAddress 127.0.0.1:${port}
HostKey ${folder}/host_key
AuthorizedKeysFile ${folder}/id.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AcceptEnv *
LogLevel VERBOSE
Match User root
  SetEnv HOME=${folder}/home
`

const clientConfig = (user: string, port: number, folder: string) => `
Host ${user}
  User ${user}
  HostName 127.0.0.1
  Port ${port}
  IdentityFile ${folder}/id
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile ${folder}/known_hosts
  GlobalKnownHostsFile none
  SendEnv *
`

/** A connection has an sshd run by root, and a child of it if the user is not root. */
function killServing(parent: number | undefined) {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid=,comm='], { encoding: 'utf8' }).trim().split('\n')
  for (const row of rows) {
    const [pid, ppid, name] = row.trim().split(/\s+/)
    if (Number(ppid) !== parent || name !== 'sshd') continue
    killServing(Number(pid))
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has already ended.
    }
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
