import { existsSync } from 'node:fs'
import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { homedir, hostname } from 'node:os'
import path from 'node:path'
import { must, sh } from '../hosts/shell.ts'
import { ByHand, type SetupStep } from './run.ts'

/** How Mello reaches Verda: a key, a name, the host key, and what Verda must allow. */
export function sshSteps({ destination, address, user }: Verda): SetupStep[] {
  if (destination === 'local') return []
  return [
    keyStep(destination),
    nameStep({ destination, address, user }),
    hostKeyStep(destination),
    loginStep(destination, user),
  ]
}

export interface Verda {
  /** VERDA_SSH. */
  destination: string
  /** VERDA_TAILSCALE_IP. */
  address: string
  /** The user that logs in there. */
  user: string
}

const folder = () => path.join(homedir(), '.ssh')

/** A key without a passphrase, because cron uses it. If ssh already offers one, that is used. */
function keyStep(destination: string): SetupStep {
  return {
    name: 'ssh key',
    title: `an ssh key that ssh offers to ${destination}`,
    done: async () => (await offered(destination)).there,
    async do() {
      const { wanted } = await offered(destination)
      await mkdir(folder(), { recursive: true, mode: 0o700 })
      await must(sh`ssh-keygen -q -t ed25519 -N ${''} -C comfyume-backup@${hostname()} -f ${wanted}`)
      return `made ${wanted}`
    },
  }
}

/** The existing key that ssh offers, and the path where ssh looks for the preferred type. */
async function offered(destination: string): Promise<{ there: string | undefined; wanted: string }> {
  const { stdout } = await sh`ssh -G ${destination}`
  const files = [...stdout.matchAll(/^identityfile (.+)$/gm)].map(([, file = '']) =>
    file.replace(/^~(?=\/)/, homedir()),
  )
  const wanted = files.length === 1 ? files[0] : files.find((file) => file.endsWith('/id_ed25519'))
  return {
    there: files.find((file) => existsSync(file)),
    wanted: wanted ?? path.join(folder(), 'id_ed25519'),
  }
}

/** `ssh verda` by name, in ~/.ssh/config, unless the name already resolves. */
function nameStep({ destination, address, user }: Verda): SetupStep {
  const file = path.join(folder(), 'config')
  return {
    name: 'ssh name',
    title: `ssh ${destination}: ${user}@${address}, in ${file}`,
    async done() {
      const found = await configOf(destination)
      const named = found.hostname !== undefined && found.hostname !== destination
      return named || destination.includes('@') ? `${found.user}@${found.hostname}` : undefined
    },
    async do() {
      const before = await readFile(file, 'utf8').catch(() => '')
      const block = [`Host ${destination}`, `  HostName ${address}`, `  User ${user}`, ''].join('\n')
      await appendFile(file, `${before === '' || before.endsWith('\n') ? '' : '\n'}${block}`, { mode: 0o600 })
      return `${user}@${address}`
    },
  }
}

/** Verda's host key, so that ssh does not ask. Shows its fingerprint, to compare on Verda. */
function hostKeyStep(destination: string): SetupStep {
  const known = async () => {
    const { hostname: name = destination, port = '22' } = await configOf(destination)
    const entry = port === '22' ? name : `[${name}]:${port}`
    return { name, port, entry, known: (await sh`ssh-keygen -F ${entry}`).exitCode === 0 }
  }
  return {
    name: 'host key',
    title: 'the host key of Verda in ~/.ssh/known_hosts',
    async done() {
      const { known: is, entry } = await known()
      return is ? `${entry} is known` : undefined
    },
    async do() {
      const { name, port } = await known()
      const { stdout } = await sh`ssh-keyscan -T 10 -p ${port} -t ed25519 ${name}`
      if (stdout.trim() === '')
        throw new ByHand(
          `${name} did not answer on port ${port}: is Verda up, and on the tailnet?`,
          'Look here',
          [`tailscale ping ${name}`],
        )
      await appendFile(path.join(folder(), 'known_hosts'), stdout, { mode: 0o600 })
      const fingerprint = await sh`ssh-keygen -lf ${path.join(folder(), 'known_hosts')} -F ${name}`
      return `added; on Verda, ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub must show the same: ${fingerprint.stdout.trim()}`
    },
  }
}

/** Verda accepts this key and runs bash as root for it. A person pastes what is missing there. */
function loginStep(destination: string, user: string): SetupStep {
  const asRoot = () =>
    sh`ssh -o BatchMode=yes -o ConnectTimeout=15 ${destination} ${'[ "$(id -u)" = 0 ] || sudo -n bash -c true'}`
  return {
    name: 'login',
    title: `ssh ${destination} without a password, and root there through sudo`,
    done: async () => ((await asRoot()).exitCode === 0 ? 'works' : undefined),
    async do() {
      const { stderr } = await asRoot()
      const { there, wanted } = await offered(destination)
      const publicKey = (await readFile(`${there ?? wanted}.pub`, 'utf8')).trim()
      const home = user === 'root' ? '/root' : `/home/${user}`
      throw new ByHand(
        stderr.trim().split('\n').at(-1) || 'the login failed',
        'Paste this on Verda, as root',
        [
          `install -d -m 700 -o ${user} -g ${user} ${home}/.ssh`,
          `echo 'restrict ${publicKey}' >>${home}/.ssh/authorized_keys`,
          `chown ${user}: ${home}/.ssh/authorized_keys && chmod 600 ${home}/.ssh/authorized_keys`,
          ...(user === 'root'
            ? []
            : [
                `echo '${user} ALL=(root) NOPASSWD: /usr/bin/bash' >/etc/sudoers.d/comfyume-backup`,
                'chmod 440 /etc/sudoers.d/comfyume-backup && visudo -c',
              ]),
        ],
      )
    },
  }
}

/** What ssh's own configuration gives for a destination. */
async function configOf(destination: string): Promise<Partial<Record<'hostname' | 'port' | 'user', string>>> {
  const { stdout } = await sh`ssh -G ${destination}`
  return Object.fromEntries(stdout.split('\n').map((line) => line.split(/ (.*)/).slice(0, 2)))
}
