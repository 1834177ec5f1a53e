import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { childEnvironment } from './environment.ts'
import { type Host, HostError } from './host.ts'
import { shellLine } from './script.ts'
import { sshConnection, sshOptions } from './ssh-connection.ts'
import { sshFailure } from './ssh-failure.ts'
import { SUDO, sudoAdvice } from './sudo.ts'
import { type Child, hostBy, type Lost, type Way } from './way.ts'

export interface SshOptions {
  name: string
  root: string
  /** What `ssh` takes: a name of its configuration, or `user@host`. */
  destination: string
  /** For `ssh -F`; without it ssh reads the user's own configuration. */
  configFile?: string
  /** How long a login may take until its first command runs; 60. */
  greetingSeconds?: number
}

/**
 * A machine behind the system's `ssh`, with the user's configuration, keys and agent. All calls share one
 * connection, made at the first and again after a loss; it ends with `close`, and with this process at the latest.
 * Scripts run as root: through `sudo -n` when the login user is another.
 */
export function sshHost(options: SshOptions): Host {
  const { name, destination, root } = options
  if (!/^[^-\s]\S*$/.test(destination)) {
    throw new HostError(
      `${name}: ${JSON.stringify(destination)} is no destination for ssh (VERDA_SSH): user@host, or a name from ~/.ssh/config`,
    )
  }
  const connection = sshConnection(options)
  let user = 'root'

  const way: Way = {
    name,
    async start({ argv }, stdout) {
      const far = await connection.open()
      user = far.user
      const line = shellLine(far.isRoot ? argv : [...SUDO, ...argv])
      const args = [
        ...sshOptions(options),
        '-S',
        far.socket,
        '-o',
        'ControlMaster=no',
        '--',
        destination,
        line,
      ]
      try {
        const child = spawn('ssh', args, {
          detached: true,
          env: childEnvironment(),
          stdio: ['pipe', stdout, 'pipe'],
        })
        await once(child, 'spawn')
        return child as Child
      } catch (error) {
        throw new HostError(`${name}: ssh could not be started (${(error as Error).message})`, {
          cause: error,
        })
      }
    },
    explain: (lost) => (lost.begun ? cutOff(name, lost) : notBegun(options, user, lost)),
    close: () => connection.close(),
  }
  return hostBy(way, root)
}

function cutOff(name: string, { said }: Lost): HostError {
  return new HostError(
    `${name}: the connection was lost half-way, or the command there was killed: nothing that it sent can be trusted. ` +
      `Is the instance still running, and its tailscale up? Run it again. It said last: ${said.slice(-500) || 'nothing'}`,
  )
}

/** 255 is ssh's own; any other code comes from the far end, which was reached but did not get to the script. */
function notBegun(options: SshOptions, user: string, lost: Lost): HostError {
  if (lost.code === 255) return sshFailure(options, lost.said)
  const said = lost.said || 'it said nothing'
  if (user === 'root')
    return new HostError(`${options.name}: bash did not start there (exit ${lost.code}): ${said}`)
  return new HostError(
    `${options.name}: sudo did not start bash there (exit ${lost.code}): ${said}\n${sudoAdvice(user)}`,
  )
}
